"""A planted message: pieces of harmless text, and people's data that must be gone when it is trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

TAG = re.compile(r"<[A-Z][A-Z_]*>")
SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Plant:
    """What stands in the message, and the parts of which none may stay; `way` is how its `kind` is written."""

    kind: str
    way: str
    text: str
    parts: tuple[str, ...]


def plant(kind: str, way: str, text: str, *parts: str) -> Plant:
    """A plant of which the whole text must go, or the parts if some are told."""
    return Plant(kind, way, text, parts or (text,))


@dataclass(frozen=True)
class Message:
    sender: str
    pieces: tuple[str | Plant, ...]

    @property
    def text(self) -> str:
        return "".join(piece if isinstance(piece, str) else piece.text for piece in self.pieces)

    @property
    def plants(self) -> list[Plant]:
        return [piece for piece in self.pieces if isinstance(piece, Plant)]

    def left(self, output: str) -> list[Plant]:
        """The plants of which a part still stands in what became of the message."""
        shown = _plain(TAG.sub("\0", output))
        rest = _plain("\0".join(piece for piece in self.pieces if isinstance(piece, str)))
        return [one for one in self.plants if any(_more(part, shown, rest) for part in one.parts)]


def _more(part: str, shown: str, rest: str) -> bool:
    wanted = _plain(part)
    return shown.count(wanted) > rest.count(wanted)


def _plain(text: str) -> str:
    return SPACES.sub(" ", text).lower()


def filled(template: str, plants: Sequence[Plant]) -> tuple[str | Plant, ...]:
    """The pieces of a template in which each `{}` is the next plant."""
    pieces: list[str | Plant] = []
    for position, text in enumerate(template.split("{}")):
        if position:
            pieces.append(plants[position - 1])
        pieces.append(text)
    return tuple(pieces)
