"""One message into clean text: the guide's rules, in an order in which no rule undoes another."""

import re

from pydantic import BaseModel

from data.formats.messages import is_deleted
from data.masking.characters import normalize, replace_emoji
from data.masking.doubtful import Note
from data.masking.names import NamePattern, mask_bounded_mentions, mask_names, name_pattern
from data.masking.personal import mask_emails, mask_numbers
from data.masking.placeholders import mask_placeholders, placeholder
from data.masking.tags import mark, with_tags, without_marks
from data.options import DataSettings

# Korean is of a link where it begins a part of it or another part follows: particles are glued to the link's end.
_PARTICLE = r"(?:에서|에|으로|로|이랑|랑|하고|이|가|은|는|을|를|도|만|의|와|과|야|요|임)(?!\w)"
_LETTERS = r"[^\W!-~ㄱ-ㅣ]++"
_IN_LINK = rf"(?:[!#-;=?-~]|(?<=[/=&#_+])(?!{_PARTICLE}){_LETTERS}|{_LETTERS}(?=[/&=?#%_+,.@-][a-z0-9]))"
_LINK_END = r"(?<![.,!?;:)\]}'])"
_LINK = re.compile(rf"(?:[a-z][a-z0-9+.-]{{1,20}}://|www\.){_IN_LINK}+{_LINK_END}", re.IGNORECASE)
_BARE_LINK = re.compile(
    r"(?<![a-z0-9@._-])(?:[a-z0-9-]+\.)+(?:(?:com|net|org|kr|io|be|gg|tv|ly)(?![a-z0-9@-])|[a-z]{2,6}(?=/[a-z0-9]))"
    rf"(?:/{_IN_LINK}*{_LINK_END})?",
    re.IGNORECASE,
)
# They begin with what is rare: of most messages, full stops included, they say at once that no link is there.
_MAYBE_LINK = re.compile(r":(?=//)|\.(?<=www\.)", re.IGNORECASE)
_MAYBE_BARE_LINK = re.compile(r"\.(?<=[a-z0-9-]\.)(?=[a-z])", re.IGNORECASE)
_LONG_RUN = re.compile(r"([^\s\d])(?=\1\1\1\1\1)")  # all of a run but its last five
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}|（\s*）|【\s*】|「\s*」|『\s*』|《\s*》|〈\s*〉")
_OPENING = dict(zip(")]}）】」』》〉", "([{（【「『《〈", strict=True))


class Plan(BaseModel):
    """The plan by which all messages are cleaned: names to mask, words never to mask, and the run's options."""

    senders: list[str] = []
    aliases: list[str] = []
    not_names: list[str] = []
    options: DataSettings = DataSettings()


class Cleaner:
    """The plan at work: called with a message, it returns it cleaned. All senders are masked in every chat.

    In documents, which have no sender, the user's aliases are masked and people who are mentioned with an @.
    """

    def __init__(self, plan: Plan) -> None:
        self.options = plan.options
        self._in_chats = name_pattern(plan.senders, plan.aliases, plan.not_names)
        self._in_documents = name_pattern((), plan.aliases, plan.not_names)

    def __call__(self, sender: str | None, message: str, note: Note | None = None) -> str:
        names = self._in_documents if sender is None else self._in_chats
        return clean(message, names, lower_case=self.options.lower_case, note=note)


def clean(text: str, names: NamePattern | None = None, *, lower_case: bool = True, note: Note | None = None) -> str:
    """Return the message with its private parts and pictures as TAGS; empty if nothing is left to learn from.

    `names` finds the people to mask (`name_pattern`), and `note` is told of the doubtful ones (`mask_names`). Lines are
    stripped, empty ones dropped.
    """
    if is_deleted(text):
        return ""
    text = without_marks(text)
    found = placeholder(normalize(text).strip())
    if found is not None:
        return with_tags(found)
    text = mask_bounded_mentions(text)
    text = mask_placeholders(normalize(replace_emoji(text, mark("<EMOJI>"))))
    text = "\n".join(filter(None, map(str.strip, text.split("\n"))))
    text = mask_people(text, names, note)  # a capital may tell a name from a word
    if lower_case:
        text = text.lower()
    text = _LONG_RUN.sub("", text)
    if _EMPTY_BRACKETS.search(text):
        text = _without_empty_brackets(text)
    return with_tags(text).strip()


def _without_empty_brackets(text: str) -> str:
    """Return the text without brackets around nothing, or around nothing but such brackets, in one pass: `( [] )`."""
    kept: list[str] = []
    for character in text:
        opening = _OPENING.get(character)
        end = len(kept)
        while opening and end and kept[end - 1].isspace():
            end -= 1
        if opening and end and kept[end - 1] == opening:
            del kept[end - 1 :]
        else:
            kept.append(character)
    return "".join(kept)


def mask_people(text: str, names: NamePattern | None, note: Note | None = None) -> str:
    """Return the text with marks for links and people's data.

    The order matters: e-mail addresses hold domains and names, and numbers may hold numbers.
    """
    if "." in text and _MAYBE_LINK.search(text):
        text = _LINK.sub(mark("<URL>"), text)
    text = mask_emails(text)
    if _MAYBE_BARE_LINK.search(text):
        text = _BARE_LINK.sub(mark("<URL>"), text)
    text = mask_numbers(text)
    return text if names is None else mask_names(text, names, note)
