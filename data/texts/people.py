"""Who is masked in a file, and in which forms: what `python -m data --explain` shows of it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from data.errors import DataError
from data.formats.detect import detect
from data.formats.files import Source, find
from data.formats.messages import Counts, Message
from data.masking.characters import replace_emoji
from data.masking.names import NamePattern, forms, mentioned, name_pattern, read_names
from data.masking.personal import mask_emails
from data.terminal import printable

MOST_PEOPLE, _MOST_FORMS = 50, 8


def people_masked(path: Path, lists: Path = Path("data")) -> Iterator[str]:
    """Yield lines for the user: for everybody in a file, which forms of their name are masked, and how often.

    Raises DataError if a list of names cannot be read; a file that cannot be used has been told of by `explain`.
    """
    aliases, kept = read_names(lists / "aliases.txt"), read_names(lists / "not-names.txt")
    for source in find([path])[0]:
        try:
            people = _people(source)
            if people:
                names = name_pattern(people, aliases, kept)
                yield from _told(people, _count(source, names))
        except DataError:
            continue


def _people(source: Source) -> list[str]:
    """Return all who wrote, first who wrote most, and then whom the app or a mention names."""
    counts = Counts()
    wrote: Counter[str] = Counter()
    for message in _messages(source, counts):
        if message.sender is not None:
            wrote[message.sender] += 1
        counts.people.update(mentioned(message.text))
    return [sender for sender, _ in wrote.most_common()] + sorted(counts.people - set(wrote))


def _count(source: Source, names: NamePattern) -> Counter[str]:
    found: Counter[str] = Counter()
    for message in _messages(source, Counts()):
        found.update(form.lower() for form in forms(mask_emails(replace_emoji(message.text, "")), names))
    return found


def _messages(source: Source, counts: Counts) -> Iterator[Message]:
    return detect(source).format.messages(source, counts)


def _told(people: list[str], found: Counter[str]) -> Iterator[str]:
    yield "  masked as names, and how often (data/not-names.txt is for what is none, data/aliases.txt for more):"
    left = Counter(found)
    owned: dict[str, Counter[str]] = defaultdict(Counter)
    for person in people[:MOST_PEOPLE]:
        own = name_pattern([person])
        for form in list(left):
            if own.means(form):
                owned[person][form] = left.pop(form)
    for person in people[:MOST_PEOPLE]:
        yield f"    {printable(person)}: {_listed(owned[person]) or 'never mentioned'}"
    if len(people) > MOST_PEOPLE:
        yield f"    and {len(people) - MOST_PEOPLE:,} more people"
    if left:
        yield f"    others, by an @ or data/aliases.txt: {_listed(left)}"


def _listed(counts: Counter[str]) -> str:
    shown = [f"{printable(form)} {count:,}" for form, count in counts.most_common(_MOST_FORMS)]
    return ", ".join(shown) + (", …" if len(counts) > _MOST_FORMS else "")
