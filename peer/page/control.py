"""The page's end of the control channel: what `peer.device.control.ask` does, without the messages that bring torch."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from peer.device.event_log import KnownLine

PLACE = "control.json"  # in the checkpoints folder; see peer/device/control.py
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 65.0
MOST_BYTES = 2**20


class NotDone(Exception):
    """The peer did not do what it was asked for; the message is for the user."""


def ask(checkpoints: Path, action: str, *arguments: str) -> dict[str, Any]:
    """Ask the running peer for something, and return what came of it. Waits; raises NotDone."""
    try:
        path = str(json.loads((checkpoints / PLACE).read_text())["socket"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(path)
            connection.sendall(json.dumps({"action": action, "arguments": arguments}).encode() + b"\n")
            connection.settimeout(ANSWER_SECONDS)
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline(MOST_BYTES))
        problem, result = answer.get("problem", ""), answer.get("result", {})
        if kind := answer.get("kind", ""):
            problem = KnownLine(problem, kind, **answer["values"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        text = "the peer does not answer; try again in a moment, or start it anew"
        raise NotDone(KnownLine(text, "no_answer")) from error
    if problem:
        raise NotDone(problem)
    return dict(result)
