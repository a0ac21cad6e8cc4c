"""One message into clean text: the guide's rules, in an order in which no rule undoes another."""

import re
import unicodedata

import emoji

from data.tags import mark, with_tags, without_marks

_PHOTO, _MOVIE, _EMOJI, _URL, _NAME = map(mark, ("<PHOTO>", "<MOVIE>", "<EMOJI>", "<URL>", "<NAME>"))

_PLACEHOLDERS = (
    (re.compile(r"사진(?: \d+장)?"), _PHOTO),
    (re.compile(r"동영상"), _MOVIE),
    (re.compile(r"이모티콘"), _EMOJI),
    (re.compile(r"삭제된 메시지입니다\.?|메시지가 삭제되었습니다\.?"), ""),
)
# Every emoji of the library has one of these, except © and ®, which are text.
_MAYBE_EMOJI = re.compile("[\u200d\u203c-\u303d\u3297\u3299\ufe0f\U0001f000-\U0010ffff]")
# Control characters, zero-width and direction marks, variation selectors.
_INVISIBLE = re.compile("[\0-\x08\x0b-\x1f\x7f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
# A link ends at the first character outside ASCII, since Korean glues particles to it.
_LINK = re.compile(
    r"(?:[a-z][a-z0-9+.-]{1,20}://|www\.)[!#-;=?-~]+(?<![.,!?;:)\]}'])"
    r"|(?<![a-z0-9@._-])(?:[a-z0-9-]+\.)+(?:com|net|org|kr|io|be|gg|tv|ly)(?![a-z0-9@-])(?:/[!#-;=?-~]*(?<![.,!?;:)\]}']))?"
)
_LONG_RUN = re.compile(r"([^\s\d])\1{4,}")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}|（\s*）|【\s*】|「\s*」|『\s*』|《\s*》|〈\s*〉")


def clean(text: str, names: re.Pattern[str] | None = None) -> str:
    """The message in lower case, its private parts and pictures as TAGS; empty if nothing is left to learn from.

    `names` finds the people to mask, in text in lower case (see data.names). Lines are stripped, empty ones dropped.
    """
    text = normalize(without_marks(text), emoji_as=_EMOJI)
    text = "\n".join(line for line in map(str.strip, text.split("\n")) if line)
    for placeholder, found in _PLACEHOLDERS:
        if placeholder.fullmatch(text):
            return with_tags(found)
    text = _LINK.sub(_URL, text)
    if names is not None:
        text = names.sub(_NAME, text)
    text = _LONG_RUN.sub(r"\1\1\1\1\1", text)
    count = 1
    while count:  # what one pass leaves can match again: `(())`
        text, count = _EMPTY_BRACKETS.subn("", text)
    return with_tags(text).strip()


def normalize(text: str, emoji_as: str = "") -> str:
    """Lower case, Unicode NFC, no invisible characters, each emoji (a family or a flag is one) as `emoji_as`."""
    if _MAYBE_EMOJI.search(text):  # the library is slow, and most messages have no emoji
        text = emoji.replace_emoji(text, lambda found, _: found if found[0] in "©®™" else emoji_as)
    # NFC and not NFKC, which would turn the letter ㅋ into another one.
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).lower()
