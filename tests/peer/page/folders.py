"""A checkpoints folder as training leaves it, for the page's tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peer.page.models import DeviceNow, PeerNow, RunNow, Snapshot, TextNow
from peer.page.snapshot import write_snapshot

RUN_ID = "cellmind-0123456789ab"
NOW = 1_796_000_000.0


def snapshot(**more: Any) -> Snapshot:
    """Return a snapshot of two devices that train."""
    return Snapshot(
        time=NOW,
        device=DeviceNow(name="desk", role="training", address="10.0.0.1"),
        run=RunNow(name="cellmind", id=RUN_ID, round=3),
        peers=[PeerNow(name="desk", peer="A", is_us=True), PeerNow(name="<script>alert(1)</script>", peer="B")],
        texts=[TextNow(file="data/raw/chat.csv", messages=7)],
        masked={"<NAME>": 3},
    ).model_copy(update=more)


def fill(checkpoints: Path, rounds: int = 3) -> None:
    """Write a snapshot, lines, and so many rounds with a sample each."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_snapshot(checkpoints, snapshot())
    append(
        checkpoints / "events.jsonl",
        [line(1, "page: …"), line(2, "phone is here", kind="joined", values={"name": "phone"})],
    )
    append(checkpoints / "cellmind" / "metrics.jsonl", map(row, range(1, rounds + 1)))
    append(checkpoints / "cellmind" / "samples.jsonl", map(sample, range(1, rounds + 1)))


def append(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)


def line(n: int, text: str, **more: Any) -> dict[str, Any]:
    return {"n": n, "time": NOW + n, "text": text, **more}


def row(number: int) -> dict[str, Any]:
    known = {"time": NOW + number, "run_id": RUN_ID, "round": number, "tokens": 100 * number, "loss": 5 / number}
    return {**known, "speeds": {"desk": 10.0, "phone": 5.0}, "valid_loss": 4.0}


def sample(number: int) -> dict[str, Any]:
    written = [{"prompt": "오늘", "text": f" {number}"}]
    return {"time": NOW + number, "run_id": RUN_ID, "round": number, "checkpoint": "r", "samples": written}
