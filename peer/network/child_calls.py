"""Calls from the training process to the node in the DHT's process, and how their failures come back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

from hivemind.utils import MPFuture

from minigpt.encoding import DatasetError
from peer.state.fetching import TransferError, reason
from peer.state.means import MeanError
from peer.swarm.household import HouseholdError
from peer.swarm.knocking import KnockRefused

LOST = "the network part of this device ended unexpectedly"
CHECK_SECONDS = 1.0  # between two looks whether the process that is waited for still lives

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Failure:
    """The answer of a coroutine in the child that fails: hivemind prints a traceback for what is raised there."""

    kind: type[Exception]
    message: str


def unwrap(result: Any) -> Any:
    """Return the result of a call to the child, or raise what the call failed with."""
    if isinstance(result, Failure):
        raise result.kind(result.message)
    return result


def fails_softly(work: Callable[Asked, Awaitable[Answer]]) -> Callable[Asked, Awaitable[Answer | Failure]]:
    """Give a Failure for whatever `work` raises: what strangers have sent may make it raise anything."""

    @wraps(work)
    async def answer(*arguments: Asked.args, **keywords: Asked.kwargs) -> Answer | Failure:
        try:
            return await work(*arguments, **keywords)
        except MeanError as error:
            return Failure(MeanError, str(error))
        except (HouseholdError, KnockRefused) as error:
            return Failure(type(error), error.args[0])  # a `KnownLine` stays one
        except OSError as error:
            return Failure(OSError, error.strerror or str(error))
        except (TransferError, DatasetError) as error:
            return Failure(TransferError, str(error))
        except Exception as error:
            return Failure(TransferError, reason(error))

    return answer


class Pending(Generic[Answer]):
    """A call to the child that has begun: training looks now and then whether its answer is here.

    :param future: of the answer
    :param is_alive: tells whether the process that is to answer lives
    """

    def __init__(self, future: MPFuture, is_alive: Callable[[], bool]):
        self._future, self._is_alive = future, is_alive

    @property
    def is_done(self) -> bool:
        """Return whether the answer is here, or the failure."""
        return bool(self._future.done())

    def poll(self) -> Answer | None:
        """Return the answer, and None until it is here. Never waits.

        Raises what the call failed with, and TransferError where the process is no more.
        """
        if self.is_done:
            return self._answer()
        if not self._is_alive():
            raise TransferError(LOST)
        return None

    def wait(self) -> Answer:
        """Wait for the answer and return it. Raises what the call failed with, and TransferError; see `poll`."""
        while True:
            try:
                self._future.result(timeout=CHECK_SECONDS)
            except TimeoutError:
                if not self._is_alive():
                    raise TransferError(LOST) from None
            else:
                return self._answer()

    def _answer(self) -> Answer:
        answer: Answer = unwrap(self._future.result())
        return answer
