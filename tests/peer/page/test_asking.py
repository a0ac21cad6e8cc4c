"""The model behind the page: OpenAI's API, from the checkpoints that the peer keeps."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from peer.page.guard import Guard, Token
from peer.page.server import Page
from peer.page.sources import Sources

HOST = "http://127.0.0.1:23480"


def test_the_model_answers_on_the_page(folder: Path, tmp_path: Path) -> None:
    """`folder` is a checkpoint under checkpoints/."""
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    here = TestClient(Guard(Page(Sources(tmp_path / "elsewhere")).application), base_url=HOST)
    for state in ("", "/newest"):
        [model] = here.get(f"{state}/v1/models").json()["data"]
        body = {
            "model": model["id"],
            "messages": [{"role": "user", "content": "오늘"}],
            "max_tokens": 4,
            "stream": True,
        }
        answer = here.post(f"{state}/v1/chat/completions", json=body, headers={"origin": HOST})
        assert answer.status_code == 200 and answer.text.endswith("data: [DONE]\n\n")
        refused = here.post(f"{state}/v1/chat/completions", json=body, headers={"origin": "http://evil.example"})
        assert refused.status_code == 403


def test_without_a_checkpoint_there_is_a_word(tmp_path: Path) -> None:
    here = TestClient(Guard(Page(Sources(tmp_path)).application), base_url=HOST)
    answer = here.post("/v1/completions", json={"model": "x", "prompt": "오늘"})
    assert answer.status_code == 503 and "no checkpoint" in answer.json()["error"]["message"]
    there = TestClient(Guard(Page(Sources(tmp_path)).application, Token("a" * 32)), base_url="http://10.0.0.1")
    assert there.post("/newest/v1/completions", json={}).status_code == 401
