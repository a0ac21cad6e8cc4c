"""The bytes that a device moves, counted in both directions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """Bytes sent and received."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.sent + other.sent, self.received + other.received)

    @property
    def total(self) -> int:
        """The bytes in both directions."""
        return self.sent + self.received
