"""The error that every part of data/ raises for a chat export that cannot be used."""


class DataError(ValueError):
    """Raw data that cannot be used. The message is meant for the user."""
