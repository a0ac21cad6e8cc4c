"""A clock that only a test moves, in the place of `time` in the modules that it is about."""

from __future__ import annotations

from types import ModuleType

import pytest


class Clock:
    """Stands still at `now`, in seconds, until a test sets it forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def replace_time(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Clock:
        """Let the modules read this clock until the test ends; return it."""
        for module in modules:
            monkeypatch.setattr(module, "time", self)
        return self
