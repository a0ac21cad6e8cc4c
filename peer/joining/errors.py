"""The error that every part of joining raises for a device that cannot take part as asked."""

from __future__ import annotations


class JoinError(Exception):
    """This device cannot take part as asked; the message is for the user."""
