"""The tags: they stand in a clean text for what is not text, or is nobody's business.

Few, since each takes a place in the vocabulary of a small model, and one for each thing that people answer differently:
a photo is commented, a call is picked up, an address is travelled to. `tokenizer.TAGS` lists the same, in this order.

While a message is being cleaned, a tag is a mark: a single private-use character. So lower-casing cannot touch tags,
patterns do not look into them, and a run of tags is shortened like any other run.
"""

import re

SPEAKERS = 16  # with a tag of their own in one text; all who speak up later in it share the last one

CONTENT_TAGS = (
    *("<PHOTO>", "<MOVIE>", "<EMOJI>", "<URL>", "<NAME>"),
    *("<FILE>", "<VOICE>", "<CALL>", "<MONEY>", "<POLL>", "<NOTICE>", "<PLACE>", "<CONTACT>"),
    *("<EMAIL>", "<PHONE>", "<ID>", "<CARD>", "<ACCOUNT>", "<ADDRESS>"),
)
SPEAKER_TAGS = tuple(f"<P{number}>" for number in range(1, SPEAKERS + 1))
TAGS = CONTENT_TAGS + SPEAKER_TAGS

_MARKS = {tag: chr(0xE000 + place) for place, tag in enumerate(TAGS)}
_TAG_OF_MARK = str.maketrans({mark: tag for tag, mark in _MARKS.items()})
_FOREIGN_MARKS = re.compile(f"[{''.join(_MARKS.values())}]")
_IMITATION = re.compile(
    rf"(?<!<)<++(\|[^<>|]*\||/?s|unk|pad|bos|eos|0x[0-9a-f]{{2}}|p\d+|{'|'.join(tag.strip('<>') for tag in TAGS)})>+",
    re.IGNORECASE,
)


def mark(tag: str) -> str:
    """Return the character that stands for a tag while a message is being cleaned."""
    return _MARKS[tag]


def without_marks(text: str) -> str:
    """Return the text without characters that would be taken for marks."""
    return _FOREIGN_MARKS.sub("", text)


def with_tags(text: str) -> str:
    """Return the text with tags in the place of marks.

    Text that imitates a tag or a control symbol loses its angle brackets, so that `<NAME>` or `<|endoftext|>` never
    stands for what somebody only typed.
    """
    count = text.count("<")
    while count:  # what one pass leaves can match again: `<<|start|>|start|>`
        text, count = _IMITATION.subn(r"\1", text)
    return text.translate(_TAG_OF_MARK)
