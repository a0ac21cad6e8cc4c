"""Text too little to learn from: it is said, nothing is founded or trained on it, and longer chats are taken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tokenizer
from data.errors import DataError
from minigpt import checkpoint
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.joining import found_run, join
from peer.joining.found_run import found
from peer.joining.prepare_text import find_tokenizer, is_enough_text, prepare_text
from peer.joining.presence import Presence
from peer.joining.size import Plan
from peer.joining.wanted_run import Wanted
from peer.network.node import View
from peer.wire import Notice, Role
from tests.tiny import LINES, SETTINGS, save_model, write_jsonl

HEAD = "가족 님과 카카오톡 대화\n저장한 날짜 : 2026-11-30 20:11:02\n\n"
DAY = "--------------- 2026년 11월 30일 월요일 ---------------\n"
ONE_MESSAGE = "[김하나] [오후 8:10] 오늘 저녁 뭐 먹을까\n"
EMOJI_ONLY = "[김하나] [오후 8:10] 😂😂😂\n[박두리] [오후 8:11] ❤️\n" * 300
LONGER = "".join(
    f"[김하나] [오후 8:{number:02}] {number}번 버스 타고 {number}시에 가면 {number * 7}원이래\n" for number in range(60)
)


def presence(said: list[str]) -> Presence:
    network: Any = SimpleNamespace(post=lambda notice: View(), peer="P" * 12, view=View())
    display: Any = SimpleNamespace(note=said.append)
    stop: Any = SimpleNamespace(received=False)
    return Presence(network, Notice(peer="P" * 12, name="desk", address="", role=Role.LOOKING), display, stop)


def put(chat: str) -> None:
    Path("data/raw").mkdir(parents=True, exist_ok=True)
    Path("data/raw/KakaoTalk.txt").write_text(HEAD + DAY + chat, encoding="utf-8")


@pytest.mark.parametrize("chat", [ONE_MESSAGE, EMOJI_ONLY], ids=["one message", "emoji only"])
def test_a_founder_refuses_it_and_leaves_no_tokenizer_of_it(
    chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(chat)
    said: list[str] = []
    wanted = Wanted(Settings(), Path("checkpoints"))
    monkeypatch.setattr(found_run, "plan_size", lambda wanted: Plan(wanted.settings, ""))
    with pytest.raises(
        DataError, match=r"nothing can be learnt from so little text: \d+ tokens .*longer chats into data/raw"
    ):
        found(presence(said), wanted)
    assert not any(file.exists() for file in tokenizer.private_files()) and not Path("checkpoints").exists()
    put(LONGER)
    prepare_text(wanted.settings, said.append)
    assert find_tokenizer(wanted.settings, None, said.append).exists(), "the longer chat was prepared, and is enough"


def test_who_is_in_a_run_trains_on_nothing_of_it(tmp_path: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    document = SETTINGS.model_dump()
    document["training"]["dataset"]["path"] = write_jsonl(tmp_path / "train.jsonl", LINES[:1])
    settings, said = Settings.model_validate(document), list[str]()
    me = presence(said)
    assert not is_enough_text(me, settings, tokenizer_model) and not is_enough_text(me, settings, tokenizer_model)
    assert len(said) == 1 and f"in {tmp_path / 'train.jsonl'}, and it takes 32 at least" in said[0]
    newest = checkpoint.read(save_model(tmp_path / "checkpoints", tokenizer_model, model, settings=settings))
    run = join.resume(me, Wanted(settings, tmp_path / "checkpoints"), newest)
    assert not run.has_text, "it keeps the state for others, and waits for longer chats"
    write_jsonl(tmp_path / "train.jsonl", LINES)
    assert join.resume(me, Wanted(settings, tmp_path / "checkpoints"), newest).has_text
