"""A real server, `python -m minigpt.serve`, in a folder with a checkpoint, and a model that suits the tests of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from minigpt import END_OF_TEXT
from minigpt.model import MiniGPT
from tests.lan import wait_until

REPOSITORY = Path(__file__).parents[2]
# the command itself, with less patience for slow clients than people have, and as few files as macOS lets it open
PROGRAM = """
import resource, sys
from minigpt import serve
from minigpt.serving import api, connections
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
api.BODY_SECONDS = 2.0
connections.HEAD_SECONDS = connections.BODY_SECONDS = connections.SEND_SECONDS = 3.0
sys.exit(serve.main())
"""


def lean(model: MiniGPT, end: float) -> MiniGPT:
    """Give every token the same number in one place, and the end of a text another: it comes surely, or never."""
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 5
        model.model.embed_tokens.weight[END_OF_TEXT, 0] = end
    return model


class Server:
    """A running server in a folder; its log is what it printed, and the key is "" where it needs none."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder / "serve.log"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "--port", "0", *options],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: "listens at" in self.said() or self.process.poll() is not None, 60)
        self.url = self.said().partition("listens at ")[2].partition(";")[0]
        self.port = urlsplit(self.url).port
        self.key = self.said().partition("need this key: ")[2].partition(" ")[0]
        self.client = self.client_with(self.key or "none")

    def client_with(self, key: str) -> Any:
        import openai  # of the development packages

        return openai.OpenAI(base_url=self.url, api_key=key, timeout=120, max_retries=0)

    def said(self) -> str:
        return self.log.read_text()

    def request(self, method: str, path: str, content: bytes | dict[str, Any] = b"") -> tuple[HTTPResponse, bytes]:
        """A request with no client's help, and the response with its body."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            connection.request(method, f"/v1/{path}", body)
            response = connection.getresponse()
            return response, response.read()

    def complete(self, **more: Any) -> Any:
        return self.client.completions.create(**{"model": "cellmind", "prompt": "안녕", "max_tokens": 8, **more})

    def chat(self, *messages: Any, **more: Any) -> Any:
        turns = [{"role": "user", "content": message} for message in messages]
        return self.client.chat.completions.create(**{"model": "cellmind", "messages": turns, "max_tokens": 8, **more})


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(60)
