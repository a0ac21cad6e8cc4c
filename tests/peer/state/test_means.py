"""The swarm's history on disk: what was kept is what was meant, and what cannot be a mean is none."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from peer.state import means
from peer.state.anchor import COARSE, FINE, MEAN_BITS
from peer.state.codec import PART, encode, payload_bytes
from peer.state.means import NUMBERS, Mean, MeanError, following, load, path_of

SIZE = payload_bytes(PART, MEAN_BITS[COARSE])


def mean(previous: str = "a" * 64, seed: int = 0, bits: int = MEAN_BITS[COARSE], **fields: object) -> Mean:
    payload = torch.zeros(payload_bytes(PART, bits), dtype=torch.uint8)
    encode(torch.randn(PART, generator=torch.Generator().manual_seed(seed)), bits, payload)
    made = {"previous": previous, "samples": {"me": 8, "you": 24}, "count": 4, "payload": payload, **fields}
    return Mean(**made)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [MEAN_BITS[COARSE], MEAN_BITS[FINE]])
def test_what_was_kept_is_what_was_meant(tmp_path: Path, bits: int) -> None:
    kept = mean(bits=bits)
    kept.save(tmp_path)
    read = load(path_of(tmp_path, kept.previous), PART)
    assert (read.previous, read.samples, read.count) == (kept.previous, kept.samples, kept.count)
    assert torch.equal(read.payload, kept.payload)
    assert read.lineage == kept.lineage


@pytest.mark.parametrize(
    "other",
    [{"previous": "b" * 64}, {"seed": 1}, {"count": 5}, {"samples": {"me": 8, "you": 23}}, {"samples": {"me": 8}}],
)
def test_another_mean_leads_to_another_anchor(other: dict[str, object]) -> None:
    assert mean(**other).lineage != mean().lineage  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 0),
        ("count", 2**30),
        ("samples", {}),
        ("samples", {"me": -1}),
        ("samples", {"me": 2**32}),
        ("samples", {"\x1b[2J": 8}),
        ("samples", {"m" * 65: 8}),
        ("samples", dict.fromkeys(map("m".__mul__, range(1, 66)), 8)),
        ("payload", torch.zeros(SIZE - 1, dtype=torch.uint8)),
        ("payload", torch.zeros(payload_bytes(PART, COARSE), dtype=torch.uint8)),
        ("payload", torch.full((SIZE,), 255, dtype=torch.uint8)),
        ("payload", torch.zeros(SIZE, dtype=torch.float32)),
    ],
)
def test_what_cannot_be_a_mean_is_refused(tmp_path: Path, field: str, value: object) -> None:
    impossible = mean(**{field: value})  # type: ignore[arg-type]
    impossible.save(tmp_path)
    with pytest.raises(MeanError):
        load(path_of(tmp_path, impossible.previous), PART)


@pytest.mark.parametrize(
    "header",
    [
        '["{previous}", [["me", Infinity]], 4]',
        '["{previous}", [["me", 8]], Infinity]',
        '["{previous}", [["me", 8.5]], 4]',
        '["{previous}", [["me", 8]]]',
        "[" * 100_000,
        "4",
        "",
    ],
)
def test_a_header_that_says_anything_else_is_refused(tmp_path: Path, header: str) -> None:
    kept = mean()
    kept.save(tmp_path)
    path = path_of(tmp_path, kept.previous)
    save_file({NUMBERS: kept.payload}, path, metadata={"header": header.replace("{previous}", kept.previous)})
    with pytest.raises(MeanError, match="is no mean"):
        load(path, PART)
    assert following(tmp_path, kept.previous, PART) == []


def test_a_mean_that_counts_in_learning_rates_leads_nowhere(tmp_path: Path) -> None:
    """Devices of before have left such ones on the disk; in our units the embedding would go 25 times as far."""
    kept = mean()
    kept.save(tmp_path)
    path = path_of(tmp_path, kept.previous)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file({"code": kept.payload}, path, metadata=header)
    assert following(tmp_path, kept.previous, PART) == []


def test_a_torn_or_renamed_file_is_refused(tmp_path: Path) -> None:
    kept = mean()
    kept.save(tmp_path)
    path = path_of(tmp_path, kept.previous)
    renamed = path.rename(path_of(tmp_path, "c" * 64))
    with pytest.raises(MeanError, match="moves another anchor"):
        load(renamed, PART)
    renamed.write_bytes(renamed.read_bytes()[:-100])
    with pytest.raises(MeanError, match="is no mean"):
        load(renamed, PART)
    save_file({NUMBERS: kept.payload}, path)
    with pytest.raises(MeanError, match="is no mean"):
        load(path, PART)


def test_a_file_that_is_no_mean_says_nothing_to_a_terminal(tmp_path: Path) -> None:
    path = path_of(tmp_path, "c" * 64)
    path.parent.mkdir()
    header = '{"w": {"dtype": "\x9b2J", "shape": [1], "data_offsets": [0, 4]}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(MeanError, match="is no mean") as refused:
        load(path, PART)
    assert str(refused.value).isprintable()


def test_the_oldest_are_forgotten_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means, "KEPT_BYTES", 3 * (SIZE + 1000))
    lineage, names = "a" * 64, []
    for number in range(5):
        kept = mean(lineage)
        kept.save(tmp_path)
        path = path_of(tmp_path, lineage)
        names.append(path.name)

        os.utime(path, (number, number))
        lineage = kept.lineage
    mean(lineage).save(tmp_path)
    left = {path.name for path in (tmp_path / "history").glob("*")}
    assert left == {*names[-2:], path_of(tmp_path, lineage).name}


@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
def test_it_does_not_fill_the_disk_and_makes_room_where_others_have(small_disk: Path) -> None:
    for number in range(20):
        mean(f"{number:064}").save(small_disk)
    assert shutil.disk_usage(small_disk).free > shutil.disk_usage(small_disk).total / 2
    newest = path_of(small_disk, f"{19:064}")
    assert newest.exists()

    with suppress(OSError), (small_disk / "film").open("wb", buffering=0) as film:
        while film.write(bytes(2**12)):
            pass
    with pytest.raises(OSError, match="No space left"):
        mean(f"{20:064}").save(small_disk)
    mean(f"{21:064}").save(small_disk)
    assert load(path_of(small_disk, f"{21:064}"), PART).count == 4
