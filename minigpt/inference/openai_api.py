"""Requests of OpenAI's clients, checked, and a model's answers in the format that they know.

No sockets here: `minigpt/serving/` has them.
"""

import json
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from minigpt import START
from minigpt.checkpoint import Checkpoint
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.prompts import PromptError, as_learnt, encode_message, encode_prompt, first_line
from minigpt.inference.sampling import Sampling, generate, stream_text

MAX_TOKENS = 100  # of an answer, where the request doesn't say


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint, ready to answer from."""

    checkpoint: Checkpoint
    model: InferenceModel
    tokenizer: Any
    time: int

    @property
    def name(self) -> str:
        """The name that clients ask for: that of the run."""
        return self.checkpoint.progress.run


class StreamOptions(BaseModel):
    """The things that a stream has beside the text."""

    include_usage: bool | None = None


class Prompt(NamedTuple):
    """What the model goes on from: ids, the last `seq_len` at most, and the text that the answer begins with."""

    ids: list[int]
    echo: str = ""


StopText = Annotated[str, Field(min_length=1, max_length=200)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]


class GenerationRequest(BaseModel):
    """The fields that both kinds of request have. As in OpenAI's, null is the same as nothing."""

    model_config = ConfigDict(strict=True)
    prefix: ClassVar[str]  # of an answer's id
    whole: ClassVar[str]  # what an answer is called
    chunk: ClassVar[str]  # what a part of it is called in a stream

    model: str
    max_tokens: Annotated[int, Field(ge=-1, le=1_000_000)] | None = None  # -1, as llama.cpp's clients say it: none
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: Any = None
    top_logprobs: Any = None

    @field_validator("logprobs", "top_logprobs")
    @classmethod
    def _asks_for_no_log_probabilities(cls, wanted: Any) -> Any:
        """Refuse what this server does not give: passed over, it would be missed far from here."""
        if wanted is not None and wanted is not False:
            raise PydanticCustomError("not_given", "log probabilities are not given here; leave it out, or null")
        return wanted

    def limit(self) -> int:
        """Return how many tokens an answer has at the most."""
        return MAX_TOKENS if self.max_tokens in (None, -1) else self.max_tokens

    def check(self, loaded: LoadedModel) -> None:
        """Raise PromptError where the model cannot read the prompt."""

    def sampling(self, choice: int) -> Sampling:
        """Return how the tokens of one of the `n` choices are drawn: with a seed, each choice by one of its own."""
        temperature = Sampling.temperature if self.temperature is None else self.temperature
        return Sampling(temperature, top_p=self.top_p, seed=None if self.seed is None else self.seed + choice)


class CompletionRequest(GenerationRequest):
    """A request to go on with each of some prompts."""

    prefix, whole, chunk = "cmpl", "text_completion", "text_completion"

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=128)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=128)]
    )
    echo: bool | None = None
    best_of: Literal[1] | None = None  # what would be another answer is refused, not passed over
    suffix: Literal[""] | None = None

    def prompts(self) -> list[str | list[int]]:
        """Return every prompt, a text or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [[id for id in self.prompt if isinstance(id, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]

    def check(self, loaded: LoadedModel) -> None:
        vocab_size = loaded.tokenizer.get_piece_size()
        for prompt in self.prompts():
            if not isinstance(prompt, str) and max(prompt) >= vocab_size:
                raise PromptError(f"prompt: there is no token {max(prompt)}: the model has {vocab_size:,}, from 0 on")

    def encode(self, loaded: LoadedModel) -> list[Prompt]:
        """Return the prompts as the model takes them; token ids begin a text, whether they say so or not."""
        encoded = []
        for prompt in self.prompts():
            if isinstance(prompt, str):
                ids, text = encode_prompt(as_learnt(prompt, loaded.checkpoint), loaded.tokenizer), prompt
            else:
                ids = prompt if prompt[0] == START else [START, *prompt]
                text = "".join(stream_text(loaded.tokenizer, prompt)) if self.echo else ""
            encoded.append(Prompt(ids[-loaded.model.seq_len :], text if self.echo else ""))
        return encoded

    def answer(self, texts: Iterator[str]) -> Iterator[str]:
        """Yield the part of the model's text that is the answer: all of it."""
        return texts

    def choice(self, text: str) -> dict[str, Any]:
        """Return a whole answer, as it is in the response."""
        return {"text": text, "logprobs": None}

    def part(self, text: str, first: bool) -> dict[str, Any]:
        """Return a part of an answer, as it is in a stream."""
        return {"text": text, "logprobs": None}


class TextPart(BaseModel):
    """A part of a message's content; no other kind than text is taken."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of whatever role: the model has learnt from a group's chat, in which nobody has one."""

    role: str
    content: str | list[TextPart] | None = None  # null, or not there, in one that called a tool
    tool_calls: list[Any] | None = None
    function_call: Any = None  # the older name

    @model_validator(mode="after")
    def _has_content_or_calls(self) -> Self:
        if "content" not in self.model_fields_set and not self.tool_calls and self.function_call is None:
            raise PydanticCustomError("no_content", "content is required where there are no tool_calls")
        return self

    def text(self) -> str:
        """Return the content, its parts a line each."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content or [])


class ChatCompletionRequest(GenerationRequest):
    """A request for the next message of a talk. Its methods are those of CompletionRequest."""

    prefix, whole, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None  # its newer name

    def limit(self) -> int:
        return self.max_completion_tokens or super().limit()

    def encode(self, loaded: LoadedModel) -> list[Prompt]:
        """Return all that was said as the one prompt; calls of tools have said nothing."""
        texts = (as_learnt(text, loaded.checkpoint) for message in self.messages if (text := message.text()))
        ids = [id for text in texts for id in encode_message(text, loaded.tokenizer)]
        return [Prompt([START, *ids][-loaded.model.seq_len :])]

    def answer(self, texts: Iterator[str]) -> Iterator[str]:
        return first_line(texts)

    def choice(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}, "logprobs": None}

    def part(self, text: str, first: bool) -> dict[str, Any]:
        return {"delta": {"role": "assistant", "content": text} if first else {"content": text}, "logprobs": None}


def until_stop(texts: Iterable[str], stops: list[str]) -> Iterator[str]:
    """Yield what comes before the first of `stops`, holding back text that may turn out to be one of them."""
    held = ""
    for text in texts:
        held += text
        found = [held.index(stop) for stop in stops if stop in held]
        if found:
            yield held[: min(found)]
            return
        begun = [size for stop in stops for size in range(1, len(stop)) if held.endswith(stop[:size])]
        safe = len(held) - max(begun, default=0)
        yield held[:safe]
        held = held[safe:]
    yield held


@dataclass(frozen=True)
class Part:
    """Some text of one of the answers to a request; what is last of an answer has a finish_reason, and no text."""

    index: int
    text: str = ""
    first: bool = False
    finish_reason: str | None = None


class Reply:
    """All answers to one request."""

    def __init__(self, request: CompletionRequest | ChatCompletionRequest, loaded: LoadedModel):
        self.request, self.loaded = request, loaded
        self.prompt_tokens = self.completion_tokens = 0
        self.finish_reason = "stop"  # of the answer that is being computed
        self.head = {
            "id": f"{request.prefix}-{uuid4().hex}",
            "created": int(time.time()),
            "model": loaded.name,
            "system_fingerprint": loaded.checkpoint.folder.name,
        }

    def parts(self) -> Iterator[Part]:
        """Yield the answers one after another, each computed as its parts are asked for."""
        request, stop = self.request, self.request.stop
        stops = [stop] if isinstance(stop, str) else stop or []
        prompts = request.encode(self.loaded)
        self.prompt_tokens = sum(len(prompt.ids) for prompt in prompts)
        for index, ((ids, echo), choice) in enumerate(product(prompts, range(request.n or 1))):
            self.finish_reason = "stop"
            yield Part(index, echo, first=True)
            texts = stream_text(self.loaded.tokenizer, self.answer_ids(ids, request.sampling(choice)))
            for text in until_stop(request.answer(texts), stops):
                yield Part(index, text)
            yield Part(index, finish_reason=self.finish_reason)

    def answer_ids(self, ids: list[int], sampling: Sampling) -> Iterator[int]:
        """Yield the ids of one answer, and count them.

        The reason for its end is "length" only if the last one is asked for: who has enough stops asking before.
        """
        limit, before = self.request.limit(), self.completion_tokens
        for id in generate(self.loaded.model, ids, max_new_tokens=limit, sampling=sampling):
            self.completion_tokens += 1
            yield id
        if self.completion_tokens - before == limit:
            self.finish_reason = "length"

    def usage(self) -> dict[str, int]:
        """Return the tokens counted so far, as they are in the response."""
        prompt, completion = self.prompt_tokens, self.completion_tokens
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    async def whole(self, parts: AsyncIterator[Part]) -> dict[str, Any]:
        """Return the response to a request without a stream."""
        texts: dict[int, str] = {}
        reasons: dict[int, str | None] = {}
        async for part in parts:
            texts[part.index] = texts.get(part.index, "") + part.text
            reasons[part.index] = part.finish_reason
        choices = [
            {"index": index, **self.request.choice(text), "finish_reason": reasons[index]}
            for index, text in texts.items()
        ]
        return {**self.head, "object": self.request.whole, "choices": choices, "usage": self.usage()}

    async def events(self, parts: AsyncIterator[Part]) -> AsyncIterator[str]:
        """Yield the response as server-sent events."""
        head = {**self.head, "object": self.request.chunk}
        counted = self.request.stream_options is not None and self.request.stream_options.include_usage
        if counted:
            head["usage"] = None  # until the end
        async for part in parts:
            if part.text or part.first or part.finish_reason:
                choice = {"index": part.index, **self.request.part(part.text, part.first)}
                yield sse_event({**head, "choices": [{**choice, "finish_reason": part.finish_reason}]})
        if counted:
            yield sse_event({**head, "choices": [], "usage": self.usage()})
        yield "data: [DONE]\n\n"


def sse_event(content: dict[str, Any]) -> str:
    """Return one server-sent event."""
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
