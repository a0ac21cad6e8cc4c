"""The messages by which one device's model answers the person at another; see `peer/network/answering.py`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from peer.wire import Message

MOST_TOKENS = 400  # of an answer
MOST_CHARACTERS = 4000  # of a text, and of a part of an answer
MOST_TEXTS = 32  # of a talk

Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]
# why there is no answer: others ask already, the device is to be spared, it has no page or no model, or it failed
Problem = Literal["", "busy", "rests", "no_model", "failed"]


class AnswerRequest(Message):
    """What a person asks the model of another device: to go on with a text, or to say the next thing in a talk."""

    texts: Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)]  # one; of a talk, all that was said
    is_talk: bool
    temperature: Annotated[float, Field(ge=0, le=2)]
    tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)]

    MAX_BYTES: ClassVar[int] = 2**16


class AnswerPart(Message):
    """A part of the answer, as it is written; the last one says so, for a stream that was cut looks like an end."""

    text: Text
    is_last: bool
    problem: Problem

    MAX_BYTES: ClassVar[int] = 2**15
