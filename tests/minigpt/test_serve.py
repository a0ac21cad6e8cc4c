"""python -m minigpt.serve: a real server on a loopback port, and the clients that people have."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from minigpt import START
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.prompts import encode_message
from minigpt.inference.sampling import Sampling, generate, stream_text
from minigpt.model import MiniGPT
from tests.lan import wait_until
from tests.minigpt.server import Server, lean, serving
from tests.tiny import build_model, save_model

openai = pytest.importorskip("openai", reason="the client is not installed: pip install -e '.[dev]'")


@pytest.fixture(scope="module")
def endless(processor: Any) -> MiniGPT:
    """A model that never comes to an end."""
    return lean(build_model(processor.get_piece_size()), -5)


@pytest.fixture(scope="module")
def silent(processor: Any) -> MiniGPT:
    """A model that has nothing to say."""
    return lean(build_model(processor.get_piece_size()), 50)


@pytest.fixture(scope="module")
def asked(endless: MiniGPT) -> InferenceModel:
    return InferenceModel(endless)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tokenizer_model: Path, endless: MiniGPT) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    save_model(folder / "checkpoints", tokenizer_model, endless)
    with serving(folder) as server:
        yield server
        assert server.process.poll() is None and "Traceback" not in server.said()


def text_after(model: InferenceModel, processor: Any, ids: list[int], count: int, **sampling: Any) -> str:
    """Return what the model says on its own, without a server."""
    return "".join(stream_text(processor, generate(model, ids, max_new_tokens=count, sampling=Sampling(**sampling))))


# -- what clients do


def test_lists_the_model(server: Server) -> None:
    models = list(server.client.models.list())
    assert [model.id for model in models] == ["cellmind"]
    assert server.client.models.retrieve("cellmind") == models[0]


def test_completes(server: Server, asked: InferenceModel, processor: Any) -> None:
    ids = [START, *processor.encode("안녕")]
    answer = server.complete(temperature=0)
    assert answer.choices[0].text == text_after(asked, processor, ids, 8, temperature=0)
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids), 8)
    assert (answer.object, answer.model, answer.usage.total_tokens) == ("text_completion", "cellmind", len(ids) + 8)


def test_streams_what_it_would_say_at_once(server: Server) -> None:
    wanted = {"temperature": 2.0, "seed": 3, "max_tokens": 60}
    chunks = list(server.complete(**wanted, stream=True, stream_options={"include_usage": True}))
    texts = [choice.text for chunk in chunks for choice in chunk.choices]
    whole = server.complete(**wanted)
    assert "".join(texts) == whole.choices[0].text
    assert len([text for text in texts if text]) > 10, "as it comes, and not all at the end"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-2:] == [None, "length"]
    assert [chunk.usage for chunk in chunks] == [*[None] * (len(chunks) - 1), whole.usage]


def test_a_stream_never_breaks_a_character(
    tmp_path: Path, server: Server, asked: InferenceModel, processor: Any
) -> None:
    """Rare syllables are three tokens each: what is drawn at random has pieces of them, and each comes as one."""
    body = {"model": "cellmind", "prompt": "뷁", "stream": True, "seed": 1, "temperature": 2, "max_tokens": 200}
    response, content = server.request("POST", "completions", body)
    events = content.decode().split("\n\n")
    assert (response.headers["content-type"] or "").startswith("text/event-stream")
    assert events[-2:] == ["data: [DONE]", ""]
    texts = [json.loads(event.removeprefix("data: "))["choices"][0]["text"] for event in events[:-2]]
    ids = generate(
        asked, [START, *processor.encode("뷁")], max_new_tokens=200, sampling=Sampling(temperature=2, seed=1)
    )
    assert [text for text in texts if text] == [text for text in stream_text(processor, ids) if text]


def test_chats_line_by_line(server: Server, asked: InferenceModel, processor: Any) -> None:
    ids = [START, *encode_message("뭐해?", processor), *encode_message("밥\n", processor)]
    texts = (text_after(asked, processor, ids, 90, temperature=1, seed=seed) for seed in range(1000))
    seed, line = next((seed, text.split("\n")[0]) for seed, text in enumerate(texts) if text.find("\n") > 9)
    wanted = {"temperature": 1, "seed": seed, "max_tokens": 90}
    answer = server.chat("뭐해?", [{"type": "text", "text": "밥"}], **wanted)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == line
    assert (answer.choices[0].finish_reason, answer.usage.prompt_tokens) == ("stop", len(ids))
    assert 9 < answer.usage.completion_tokens < 90
    chunks = list(server.chat("뭐해?", "밥", **wanted, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content for delta in deltas) == line
    assert [delta.role for delta in deltas[:2]] == ["assistant", None]
    cut = server.chat("뭐해?", "밥", **wanted | {"max_tokens": 1}, max_completion_tokens=3)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 3)


def test_eight_at_once(server: Server) -> None:
    def ask(seed: int) -> str:
        if seed % 2:
            return str(server.complete(seed=seed, max_tokens=40).choices[0].text)
        return "".join(chunk.choices[0].text for chunk in server.complete(seed=seed, max_tokens=40, stream=True))

    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(ask, range(8)))
    assert together == [ask(seed) for seed in range(8)]
    assert len(set(together)) == 8


def test_several_prompts_and_answers(server: Server) -> None:
    answer = server.complete(prompt=["안녕", ""], n=2, seed=7, temperature=1.5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text == server.complete(seed=7, temperature=1.5).choices[0].text
    assert answer.choices[1].text == server.complete(seed=8, temperature=1.5).choices[0].text
    assert answer.usage.completion_tokens == 4 * 8


def test_stops_before_the_text_that_it_is_told(server: Server) -> None:
    text = server.complete(temperature=0, max_tokens=30).choices[0].text
    stop = text[5:8]
    answer = server.complete(temperature=0, max_tokens=30, stop=["\0", stop])
    assert answer.choices[0].text == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    chunks = server.complete(temperature=0, max_tokens=30, stop=stop, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text


@pytest.mark.parametrize(
    "wanted",
    [
        {"prompt": ""},
        {"prompt": "가나다라 " * 1000},
        {"prompt": "<|endoftext|><|start|><unk>"},
        {"top_p": 0},
        {"temperature": 0},
        {"temperature": None, "top_p": None, "n": None, "seed": None, "stop": None, "stream": None},
        {"temperature": 1e-46},
        {"echo": False, "best_of": 1},
        {"seed": -1, "n": 2},
        {"presence_penalty": 0.5, "user": "me", "logprobs": None, "suffix": None},
        {"max_tokens": -1, "stop": "\n", "n_predict": -1, "cache_prompt": True, "logprobs": False},
        {"prompt": [[5, 6], [7]]},
    ],
)
def test_takes(server: Server, wanted: dict[str, Any]) -> None:
    body = {"model": "cellmind", "prompt": "안녕", "max_tokens": 3, **wanted}
    response, content = server.request("POST", "completions", body)
    assert response.status == 200
    assert json.loads(content)["usage"]["prompt_tokens"] <= 16, "which is as far as the model looks back"


def test_a_prompt_of_token_ids_is_what_the_text_is(server: Server, processor: Any) -> None:
    ids = processor.encode("안녕")
    answer = server.complete(temperature=0)
    for prompt in (ids, [START, *ids], [ids]):
        same = server.complete(prompt=prompt, temperature=0)
        assert (same.choices, same.usage) == (answer.choices, answer.usage)


@pytest.mark.parametrize("stream", [True, False])
def test_the_prompt_is_said_again_where_that_is_asked(server: Server, processor: Any, stream: bool) -> None:
    def texts(**wanted: Any) -> list[str]:
        found: dict[int, str] = {}
        answer = server.complete(temperature=0, stream=stream, **wanted)
        for choice in (choice for part in (answer if stream else [answer]) for choice in part.choices):
            found[choice.index] = found.get(choice.index, "") + choice.text
        return [found[index] for index in sorted(found)]

    ids = processor.encode("안녕")
    long = "가나다라 " * 100  # more than the model looks back over
    asked = [texts(prompt=prompt)[0] for prompt in ("안녕", long)]
    assert texts(prompt=["안녕", long], echo=True) == [f"안녕{asked[0]}", f"{long}{asked[1]}"]
    assert texts(prompt=ids, echo=True, stop="안") == [f"안녕{texts(stop='안')[0]}"]
    assert texts(prompt="안녕", echo=True, max_tokens=0) == ["안녕"] and texts(prompt=ids, max_tokens=0) == [""]


def test_a_call_of_a_tool_has_no_content(server: Server) -> None:
    """As langchain sends an agent's steps; the model reads what was said, and calls of tools are no words."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "뭐해?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "밥"},
    ]
    wanted = {"model": "cellmind", "max_tokens": 8, "temperature": 0, "logprobs": False, "top_logprobs": None}
    answer = server.client.chat.completions.create(messages=turns, tools=[], **wanted)
    assert answer.choices[0].message == server.chat("뭐해?", "밥", temperature=0).choices[0].message
    with pytest.raises(openai.BadRequestError, match="log probabilities are not given here"):
        server.chat("뭐해?", logprobs=True, top_logprobs=2)
    with pytest.raises(openai.BadRequestError, match=r"messages.0: content is required where there are no tool_calls"):
        server.client.chat.completions.create(messages=[{"role": "user"}], **wanted)


# -- what they should not do


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"temperature": -1}, 400, "temperature"),
        ({"temperature": "warm"}, 400, "temperature"),
        (b'{"model": "cellmind", "prompt": "", "temperature": NaN}', 400, "temperature"),
        ({"top_p": 1.5}, 400, "top_p"),
        ({"n": 0}, 400, "n"),
        ({"n": 10**9}, 400, "n"),
        ({"n": True}, 400, "n"),
        ({"max_tokens": -2}, 400, "max_tokens"),
        ({"max_tokens": 10**30}, 400, "max_tokens"),
        ({"max_tokens": "many"}, 400, "max_tokens"),
        ({"stop": ""}, 400, "stop"),
        ({"stop": [""]}, 400, "stop.0: String should have at least 1 character"),
        ({"stop": list("abcde")}, 400, "stop: List should have at most 4 items"),
        ({"prompt": 5}, 400, "prompt: Input should be a valid string"),
        ({"prompt": ["a", 1]}, 400, "prompt.1: Input should be a valid string"),
        ({"prompt": [5, -1]}, 400, "prompt.1: Input should be greater than or equal to 0"),
        ({"prompt": [[5], []]}, 400, "prompt.1: List should have at least 1 item"),
        ({"prompt": [5, 1_000_000]}, 400, "prompt: there is no token 1000000: the model has"),
        ({"prompt": [10**30]}, 400, "prompt"),
        ({"prompt": [5, "a"]}, 400, "prompt"),
        ({"echo": "yes"}, 400, "echo"),
        ({"logprobs": 0}, 400, "logprobs: log probabilities are not given here"),
        ({"logprobs": 5, "stream": True}, 400, "logprobs: log probabilities are not given here"),
        ({"suffix": "다"}, 400, "suffix"),
        ({"best_of": 2}, 400, "best_of"),
        ({"stream": "yes"}, 400, "stream"),
        ({"prompt": 5}, 400, "prompt"),
        ({"prompt": []}, 400, "prompt"),
        ({"prompt": None}, 400, "prompt"),
        ({"model": None}, 400, "model"),
        ({"model": "gpt-4o"}, 404, "'cellmind'"),
        (b"", 400, "JSON"),
        (b"[]", 400, "object"),
        (b'{"model": "cellmind", "prompt": "' + "안녕".encode("cp949") + b'"}', 400, "JSON"),
        (b'{"model": "cellmind", "prompt": "\\ud800"}', 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"),
        (b'{"model": "cellmind", "prompt": "' + b"a" * 3_000_000 + b'"}', 413, "larger than"),
    ],
)
def test_refuses(server: Server, body: dict[str, Any] | bytes, status: int, word: str) -> None:
    whole = body if isinstance(body, bytes) else {"model": "cellmind", "prompt": "안녕", "max_tokens": 3, **body}
    response, content = server.request("POST", "completions", whole)
    error = json.loads(content)["error"]
    assert response.status == status and error["type"] == "invalid_request_error"
    assert word in error["message"] and len(error["message"]) < 300


@pytest.mark.parametrize(
    "messages", [[], "안녕", [{"role": "user"}], [{"role": "user", "content": [{"type": "image"}]}]]
)
def test_refuses_no_messages(server: Server, messages: Any) -> None:
    response, content = server.request("POST", "chat/completions", {"model": "cellmind", "messages": messages})
    assert response.status == 400 and json.loads(content)["error"]["param"] == "messages"


def test_what_is_no_text_in_a_message_is_named(server: Server) -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    _, content = server.request("POST", "chat/completions", {"model": "cellmind", "messages": [image]})
    assert json.loads(content)["error"]["message"] == "messages.0.content.0.type: Input should be 'text'"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:3000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "[127.0.0.1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
def test_a_page_on_the_web_learns_nothing(server: Server, headers: dict[str, str], status: int) -> None:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=120)) as connection:
        connection.request("GET", "/v1/models", headers=headers)
        assert connection.getresponse().status == status


def test_the_client_knows_its_errors(server: Server) -> None:
    with pytest.raises(openai.NotFoundError, match="only 'cellmind'") as caught:
        server.complete(model="gpt-4o")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="temperature"):
        server.chat("안녕", temperature=-1)
    with pytest.raises(openai.NotFoundError):
        server.client.embeddings.create(model="cellmind", input="안녕")
    response, content = server.request("GET", "completions")
    assert (response.status, json.loads(content)["error"]["message"]) == (405, "Method Not Allowed")
    assert response.headers["Allow"] == "POST"
    with pytest.raises(openai.NotFoundError, match="only 'cellmind'"):
        server.client.models.retrieve("gpt-4o")


def test_slow_and_cut_off_bodies(server: Server) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as slow:
        with socket.create_connection(("127.0.0.1", server.port)) as cut_off:
            cut_off.sendall(head)
        slow.sendall(head)
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as nonsense:
        nonsense.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert nonsense.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert server.complete().choices[0].text


@pytest.mark.parametrize("stream", [True, False])
def test_so_many_and_no_more_and_nothing_for_those_who_left(server: Server, stream: bool) -> None:
    def refused() -> bool:
        body = {"model": "cellmind", "prompt": "", "max_tokens": 1}
        return server.request("POST", "completions", body)[0].status == 429

    content = json.dumps({"model": "cellmind", "prompt": "", "max_tokens": 1_000_000, "stream": stream})
    with ExitStack() as clients:
        for _ in range(16):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(
                f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            )
            client.sendall(content.encode())
        assert wait_until(refused, 60)
        with pytest.raises(openai.RateLimitError, match="16 requests"):
            server.complete()
    assert wait_until(lambda: not refused(), 60)


# -- a server's life


@pytest.mark.lan
def test_from_no_checkpoint_to_the_newest(
    tmp_path: Path, tokenizer_model: Path, endless: MiniGPT, silent: MiniGPT
) -> None:
    checkpoints = tmp_path / "checkpoints"
    with serving(tmp_path) as server:
        assert "no checkpoint under checkpoints/ yet" in server.said()
        assert list(server.client.models.list()) == []
        with pytest.raises(openai.InternalServerError, match="no checkpoint under checkpoints/ yet"):
            server.complete()

        save_model(checkpoints, tokenizer_model, endless)
        first = server.complete(temperature=0)
        assert first.choices[0].finish_reason == "length"

        broken = save_model(checkpoints, tokenizer_model, silent, round=2)
        os.truncate(broken / "model.safetensors", 1000)
        for _ in range(3):
            assert server.complete(temperature=0).choices[0].text == first.choices[0].text
        assert server.said().count("is cut off") == 1

        running = server.complete(max_tokens=1_000_000, stream=True)
        next(running)
        save_model(checkpoints, tokenizer_model, silent, round=3)
        assert server.complete().choices[0].finish_reason == "stop"
        assert server.complete().usage.completion_tokens == 0
        assert server.complete().system_fingerprint == "round-00000003-step-00000010"
        assert server.chat("안녕").choices[0].message.content == ""
        assert next(running).choices[0].text, "an answer goes on as it began"

        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        with pytest.raises(Exception, match=r"incomplete chunked read|Connection error"):
            list(running)
        assert "Traceback" not in server.said()


def test_a_port_that_is_taken(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    from minigpt.serve import main

    assert main(["--port", str(server.port)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("cannot listen at 127.0.0.1: Address already in use")
