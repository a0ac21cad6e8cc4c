"""Characters as a model should see them: Unicode NFC, nothing invisible, each emoji as one."""

import re
import unicodedata

import emoji

# Every emoji of the library has one of these, except © and ®, which are text.
_MAYBE_EMOJI = re.compile("[\u200d\u203c-\u303d\u3297\u3299\ufe0f\U0001f000-\U0010ffff]")
# Control characters, zero-width and direction marks, variation selectors.
_INVISIBLE = re.compile("[\0-\x08\x0b-\x1f\x7f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")


def replace_emoji(text: str, replacement: str) -> str:
    """Return the text with each emoji (a family or a flag is one) replaced; ©, ® and ™ are text."""
    if not _MAYBE_EMOJI.search(text):  # the library is slow, and most messages have no emoji
        return text
    return emoji.replace_emoji(text, lambda found, _: found if found[0] in "©®™" else replacement)


def normalize(text: str) -> str:
    """Return the text in Unicode NFC, without invisible characters, some of which `replace_emoji` needs before."""
    # NFC and not NFKC, which would turn the letter ㅋ into another one.
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
