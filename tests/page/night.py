"""A night that was made up: the files of a checkpoints folder, as if a household had trained for some hours."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path
from typing import Any

from peer.device.event_log import KnownLine
from peer.page.models import (
    Best,
    DeviceNow,
    LearningNow,
    LinkNow,
    PeerNow,
    RunNow,
    Snapshot,
    TextNow,
    TrafficNow,
)

RUN, RUN_ID = "cellmind", "cellmind-6f74de27adbc"
ROUND_SECONDS = 40.0
ROUND_TOKENS = 256 * 256
SPEEDS = {"desk": 910.0, "mina-laptop": 620.0, "galaxy-s23": 140.0, "old-laptop": 210.0}  # tokens a second
TIMES = {  # of the night, when each is here
    "desk": (0.0, 1.0),
    "mina-laptop": (0.12, 1.0),
    "galaxy-s23": (0.3, 1.0),
    "old-laptop": (0.44, 0.83),
}
PROMPTS = ("오늘 저녁에", "생일 축하", "내일 학교에서")
WRITTEN = (
    ("는 ㅋㅋ 는 가 다 ㅋㅋㅋ 이", "는 해 ㅋㅋ 다 가", "는 이 가 ㅋㅋ 는"),
    (" 뭐 먹지 ㅋㅋㅋ 나 는 집", "해 축하해 ㅋㅋㅋㅋ", " 가 봐 나 도"),
    (" 치킨 먹을 사람? 나는 8시쯤 도착해", "해!! 오늘 케이크는 내가 사 갈게", " 만나서 같이 가자, 정문 앞에서 봐"),
)


def write_night(checkpoints: Path, rounds: int = 420, **changes: Any) -> None:
    """Write the files of a night that ends now; `changes` are fields of its last snapshot."""
    folder = checkpoints / RUN
    folder.mkdir(parents=True, exist_ok=True)
    began = time.time() - rounds * ROUND_SECONDS
    lines = list(metrics(rounds, began))
    write_lines(folder / "metrics.jsonl", lines)
    write_lines(folder / "samples.jsonl", samples(rounds, began))
    write_lines(checkpoints / "events.jsonl", events(rounds, began))
    write_snapshot(checkpoints, snapshot(lines, began, **changes))


def write_snapshot(checkpoints: Path, snapshot: Snapshot) -> None:
    """Put a snapshot in the place of the one before, at once."""
    new = checkpoints / "snapshot.new"
    new.write_text(snapshot.model_dump_json(), encoding="utf-8")
    new.replace(checkpoints / "snapshot.json")


def write_lines(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a file of JSON lines."""
    path.write_text("".join(map(as_line, entries)), encoding="utf-8")


def as_line(entry: dict[str, Any]) -> str:
    """Return a line of a file of JSON lines."""
    return json.dumps(entry, ensure_ascii=False) + "\n"


def metrics(rounds: int, began: float) -> list[dict[str, Any]]:
    """Return the lines of so many rounds: a curve as small models have it, a device that comes and one that leaves."""
    chance = random.Random(1)
    entries = []
    sent = received = 0
    for round in range(1, rounds + 1):
        night = round / rounds
        here = [name for name, (comes, leaves) in TIMES.items() if comes <= night <= leaves]
        bits = 1.62 + 1.5 * math.exp(-1.9 * math.sqrt(round / 90)) + chance.gauss(0, 0.006)
        speeds = {name: SPEEDS[name] * chance.uniform(0.93, 1.04) for name in here}
        if len(here) > 1:
            sent += chance.randint(4_000_000, 6_000_000)
            received += chance.randint(4_000_000, 6_000_000)
        entry: dict[str, Any] = {
            "time": began + round * ROUND_SECONDS,
            "run_id": RUN_ID,
            "round": round,
            "tokens": round * ROUND_TOKENS,
            "loss": bits * 2.6 + 0.1 + chance.gauss(0, 0.06),
            "learning_rate": 3e-4 * min(1.0, round / 4, math.sqrt(80 / round)),
            "tokens_per_second": speeds["desk"],
            "speeds": speeds,
            "bytes_sent": sent,
            "bytes_received": received,
            "peers": here,
        }
        if round % 6 == 1:
            entry |= {"valid_loss": bits * 2.45, "valid_bits_per_byte": bits, "right_share": 0.55 - bits / 7.5}
        entries.append(entry)
    return entries


def samples(rounds: int, began: float) -> list[dict[str, Any]]:
    """Return what the model wrote after the prompts, better towards the morning."""
    return [
        {
            "time": began + round * ROUND_SECONDS,
            "run_id": RUN_ID,
            "round": round,
            "samples": [
                {"prompt": prompt, "text": text}
                for prompt, text in zip(PROMPTS, WRITTEN[min(2, 3 * round // rounds)], strict=True)
            ],
        }
        for round in range(6, rounds + 1, 6)
    ]


def events(rounds: int, began: float) -> list[dict[str, Any]]:
    """Return the terminal's lines."""
    length = rounds * ROUND_SECONDS
    founded = KnownLine(f"nobody trains '{RUN}' here yet: founded run {RUN_ID}", "founded", run=RUN, run_id=RUN_ID)
    told: list[tuple[float, KnownLine]] = [(0.0, founded)]
    for name, (comes, leaves) in TIMES.items():
        if comes > 0:
            host = "192.168.0.23"
            told.append((comes, KnownLine(f"{name} is here ({host})", "joined", name=name, host=host)))
        if leaves < 1:
            told.append((leaves, KnownLine(f"{name} left", "left", name=name)))
    told += [(entry["round"] / rounds, round_line(entry)) for entry in metrics(rounds, began)[-40:]]
    return [event(n, began + at * length, line) for n, (at, line) in enumerate(sorted(told), 1)]


def event(n: int, at: float, line: str) -> dict[str, Any]:
    """Return a line of events.jsonl."""
    known = {"kind": line.kind, "values": line.values} if isinstance(line, KnownLine) else {}
    return {"n": n, "time": at, "text": line, **known}


def round_line(entry: dict[str, Any]) -> KnownLine:
    """Return a round as the terminal tells of it."""
    round, loss, speed = entry["round"], entry["loss"], entry["tokens_per_second"]
    names = ", ".join(entry["peers"][1:])
    text = f"round {round} · loss {loss:.3f} · {speed:,.0f} tokens/s · {f'with {names}' if names else 'alone'}"
    return KnownLine(text, "round", round=round, loss=loss, speed=speed, names=names)


def snapshot(lines: list[dict[str, Any]], began: float, **changes: Any) -> Snapshot:
    """Return the swarm at the end of the night."""
    judged = [line for line in lines if "valid_loss" in line]
    best = min(judged, key=lambda line: line["valid_bits_per_byte"])
    last = lines[-1]
    length = len(lines) * ROUND_SECONDS
    known: dict[str, Any] = {
        "time": time.time(),
        "started": began,
        "device": DeviceNow(name="desk", kind="laptop", role="training", address="192.168.0.10"),
        "run": RunNow(
            name=RUN,
            id=RUN_ID,
            round=last["round"],
            round_sequences=171,
            samples_per_round=256,
            parameters=4_900_000,
            size="small",
            tokens=last["tokens"],
        ),
        "learning": LearningNow(
            loss=last["loss"],
            learning_rate=last["learning_rate"],
            valid_loss=judged[-1]["valid_loss"],
            valid_bits_per_byte=judged[-1]["valid_bits_per_byte"],
            right_share=judged[-1]["right_share"],
            best=Best(round=best["round"], bits_per_byte=best["valid_bits_per_byte"], time=best["time"]),
            judgement="gains",
        ),
        "peers": [peer(name, began, length) for name in TIMES],
        "texts": [
            TextNow(file="KakaoTalk_20261124.csv", messages=48_210),
            TextNow(file="family-line.txt", messages=9_377),
        ],
        "masked": {"<NAME>": 3990, "<PHONE>": 41, "<URL>": 602, "<ADDRESS>": 12},
        "link": LinkNow(up=410_000, down=380_000),
        "traffic": TrafficNow(sent=last["bytes_sent"], received=last["bytes_received"]),
    }
    return Snapshot.model_validate({**known, **changes})


def peer(name: str, began: float, length: float) -> PeerNow:
    """Return a device of the night."""
    comes, leaves = TIMES[name]
    here = [other for other, (_, until) in TIMES.items() if until >= 1]
    return PeerNow(
        name=name,
        peer=f"Qm{name}",
        kind="phone" if name.startswith("galaxy") else "laptop",
        is_us=name == "desk",
        is_member=name != "desk",
        tokens_per_second=SPEEDS[name] if leaves >= 1 else 0.0,
        share=SPEEDS[name] / sum(SPEEDS[other] for other in here) if leaves >= 1 else None,
        since=began + comes * length,
        battery=71.0 if name.startswith("galaxy") else None,
        is_direct=None if name == "desk" else True,
        left_at=None if leaves >= 1 else began + leaves * length,
    )
