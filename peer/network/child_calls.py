"""Calls from the training process to coroutines in the DHT's process, and how their failures come back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from minigpt.encoding import DatasetError
from peer.state.fetching import TransferError, reason
from peer.state.means import MeanError


@dataclass(frozen=True)
class Failure:
    """What a coroutine in the child returns instead of raising: hivemind prints a traceback for what is raised."""

    kind: type[Exception]
    message: str


def unwrap(result: Any) -> Any:
    if isinstance(result, Failure):
        raise result.kind(result.message)
    return result


Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def fails_softly(work: Callable[Asked, Awaitable[Answer]]) -> Callable[Asked, Awaitable[Answer | Failure]]:
    """Gives a Failure for whatever `work` raises: what strangers have sent may make it raise anything."""

    @wraps(work)
    async def answer(*arguments: Asked.args, **keywords: Asked.kwargs) -> Answer | Failure:
        try:
            return await work(*arguments, **keywords)
        except MeanError as error:
            return Failure(MeanError, str(error))
        except OSError as error:
            return Failure(OSError, str(error))
        except (TransferError, DatasetError) as error:
            return Failure(TransferError, str(error))
        except Exception as error:
            return Failure(TransferError, reason(error))

    return answer
