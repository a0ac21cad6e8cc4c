"""Who is who in one file: an id is one person, whatever names it has had, and two ids of one name are two people."""

from typing import Any

from data.formats.messages import Counts, without_surrogates

_LONGEST_NAME = 100  # characters; what is longer is no name


def as_name(value: Any) -> str:
    """Return a name as it is written in one line; "" if the value is none."""
    if not isinstance(value, str):
        return ""
    return " ".join(without_surrogates(value).split())[:_LONGEST_NAME]


def mention(name: str) -> str:
    """Return a mention of a person between the marks that WhatsApp uses for it, so that its bounds are known."""
    return f"@\u2068{name.removeprefix('@')}\u2069" if name else ""


class People:
    """The people of one file. All their names go to `counts.people`, so that they are masked."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._of_id: dict[str, str] = {}
        self._ids: dict[str, str] = {}  # name -> the id of its first bearer

    def sender(self, identity: Any, *names: Any) -> str:
        """Return the name of a person to call every message's sender by: the first name that the id was seen with.

        Without an id it is the name itself, and without a name the id. A second bearer of a name is `Name (2)`.
        """
        self.add(*names)
        known = next(filter(None, map(as_name, names)), "")
        key = str(identity) if isinstance(identity, str | int) and identity != "" else ""
        if not key:
            return known
        if key not in self._of_id or (known and self._of_id[key] == as_name(key)):
            self._of_id[key] = self._distinct(known or as_name(key), key)
        return self._of_id[key]

    def add(self, *names: Any) -> None:
        """Have these names masked; whatever is none is passed over."""
        self._counts.people.update(filter(None, map(as_name, names)))

    def known(self, identity: str) -> str:
        """Return the name of an id that was seen before, or else the id."""
        return self._of_id.get(identity, identity)

    def _distinct(self, name: str, key: str) -> str:
        number, distinct = 1, name
        while self._ids.setdefault(distinct, key) != key:
            number += 1
            distinct = f"{name} ({number})"
        return distinct
