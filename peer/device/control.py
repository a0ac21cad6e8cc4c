"""The control channel: what the owner of this device asks of the peer that runs on it, from another terminal.

A unix socket in a folder that only the owner may enter. A file in the checkpoints folder says where it is, for a
socket's path has 107 bytes at most, and not every disk takes one. A connection is one request and one answer, a line of
JSON each. A thread answers, so that it works at all times: while the device joins, trains, rests or keeps state.
"""

from __future__ import annotations

import atexit
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, JsonValue, ValidationError

from data.atomic import write_whole
from minigpt.checkpoint.manifest import first_problem
from peer.device.event_log import KnownLine
from peer.device.processes import socket_folder
from peer.wire import Message, ProtocolViolation, parse

PLACE, SOCKET = "control.json", "control"  # the file in the checkpoints folder, and the socket's name in its own
LINE_SECONDS = 5.0  # that a request has to come in, and an answer to be taken
ANSWER_SECONDS = 60.0  # that an answer takes at most; whoever asks waits a little longer
LOOK_SECONDS = 0.5  # between two looks whether the end has come


class ControlError(Exception):
    """What was asked of a running peer, or of one that should run, cannot be done; the message is for the user."""


class ControlRequest(Message):
    """A request: one of the actions that the peer was started with, and what it is about."""

    action: str = Field(pattern="^[a-z]{1,32}$")
    # those of a lock are its devices; the last one may be a question to a model
    arguments: list[Annotated[str, Field(max_length=2**17)]] = Field(default=[], max_length=512)

    MAX_BYTES: ClassVar[int] = 2**18


class ControlAnswer(Message):
    """An answer: why the request was refused, or what came of it."""

    problem: str = Field(default="", max_length=1000)
    # of a problem that a page can say in its own words, and the values in it: see `KnownLine`
    kind: str = Field(default="", max_length=32)
    values: dict[str, JsonValue] = {}
    result: dict[str, JsonValue] = {}

    MAX_BYTES: ClassVar[int] = 2**20


Action = Callable[[Sequence[str]], Mapping[str, Any]]  # takes arguments, gives a result; raises ControlError
Kind = TypeVar("Kind", ControlRequest, ControlAnswer)


class Control:
    """The running peer's end of the channel. Raises OSError where there can be none.

    :param checkpoints: the folder in which whoever asks looks for it
    :param actions: by the name that a request has for it; they are called on a thread of their own, one after the other
    """

    def __init__(self, checkpoints: Path, actions: Mapping[str, Action]):
        self._actions, self._ended = actions, False
        self._place, self._folder = checkpoints / PLACE, socket_folder()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._server.bind(str(self._folder / SOCKET))
            self._server.listen()
            self._server.settimeout(LOOK_SECONDS)
            write_whole(self._place, json.dumps({"socket": str(self._folder / SOCKET)}), synced=False)
        except OSError:
            self.stop()
            raise
        atexit.register(self.stop)
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def stop(self) -> None:
        """Answer nobody any more, and leave nothing behind."""
        if not self._ended:
            self._ended = True
            self._server.close()
            self._place.unlink(missing_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        while not self._ended:
            with suppress(OSError):  # nobody asks, or whoever did is gone
                connection, _ = self._server.accept()
                with connection:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            answer = self._do(_read(connection, ControlRequest, LINE_SECONDS))
        except ProtocolViolation as error:
            answer = ControlAnswer(problem=f"this is no request: {error}"[:1000])
        connection.settimeout(LINE_SECONDS)
        connection.sendall(answer.model_dump_json().encode() + b"\n")

    def _do(self, request: ControlRequest) -> ControlAnswer:
        action = self._actions.get(request.action)
        if action is None:
            return ControlAnswer(problem=f"the peer that runs here cannot do '{request.action}': start it anew")
        try:
            return ControlAnswer(result=dict(action(request.arguments)))
        except ControlError as error:
            return _refusal(error.args[0])
        except Exception as error:  # whatever goes wrong here, the peer trains on, and answers the next request
            return ControlAnswer(problem=f"that failed: {error}"[:1000])


def ask(checkpoints: Path, action: str, *arguments: str) -> dict[str, Any]:
    """Ask the peer that runs in a folder for something, and return what came of it. Waits; raises ControlError."""
    try:
        request = ControlRequest(action=action, arguments=list(arguments))
    except ValidationError as error:
        raise ControlError(f"the peer in {checkpoints} cannot be asked for that: {first_problem(error)}") from error
    try:
        path = str(json.loads((checkpoints / PLACE).read_text())["socket"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(LINE_SECONDS)
            connection.connect(path)
            connection.sendall(request.model_dump_json().encode() + b"\n")
            answer = _read(connection, ControlAnswer, ANSWER_SECONDS + LINE_SECONDS)
    except PermissionError as error:
        raise ControlError(f"the peer in {checkpoints} is another user's: ask as that user") from error
    except TimeoutError as error:
        raise ControlError(f"the peer in {checkpoints} does not answer; try again, or start it anew") from error
    except (OSError, ValueError, KeyError, TypeError) as error:  # it starts or ends, or was killed
        raise ControlError(f"no peer answers in {checkpoints}; try again in a moment, while one runs") from error
    if answer.problem:
        raise ControlError(answer.problem)
    return answer.result


def _refusal(why: str) -> ControlAnswer:
    if isinstance(why, KnownLine):
        return ControlAnswer(problem=str(why)[:1000], kind=why.kind, values={**why.values})
    return ControlAnswer(problem=why[:1000])


def _read(connection: socket.socket, kind: type[Kind], seconds: float) -> Kind:
    """Return the message in a connection's one line. Raises ProtocolViolation, and OSError where none comes in time."""
    deadline, content = time.monotonic() + seconds, b""
    while not content.endswith(b"\n") and len(content) <= kind.MAX_BYTES:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        received = connection.recv(65536)
        if not received:
            break
        content += received
    return parse(kind, content)
