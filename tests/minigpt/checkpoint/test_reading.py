"""Checkpoint folders are read with suspicion: what is damaged, or of another device, is named and passed over."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from minigpt.checkpoint import newest, read, reading
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from tests.tiny import build_model, save_model, seal


def flip_a_byte(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-10, os.SEEK_END)
        byte = file.read(1)
        file.seek(-10, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


def replace_parameters(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Other parameters under hashes that are right."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    seal(folder)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda folder: os.truncate(folder / "model.safetensors", 1000), "model.safetensors is cut off"),
    "empty": (lambda folder: os.truncate(folder / "settings.json", 0), "settings.json is cut off"),
    "flipped byte": (flip_a_byte, "model.safetensors is damaged"),
    "missing file": (lambda folder: (folder / "tokenizer.model").unlink(), "tokenizer.model is missing"),
    "no manifest": (lambda folder: (folder / "training.json").unlink(), "not a whole checkpoint"),
    "half a manifest": (lambda folder: os.truncate(folder / "training.json", 90), "training.json is not valid"),
    "another model": (
        lambda folder: replace_parameters(folder, lambda tensors: tensors.pop("model.norm.weight")),
        "model.safetensors is of another model than settings.json: model.norm.weight is missing",
    ),
    "another width": (
        lambda folder: replace_parameters(
            folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(48)})
        ),
        "model.norm.weight is [48], not [32]",
    ),
    "no safetensors": (
        lambda folder: ((folder / "model.safetensors").write_bytes(b"PK\x03\x04pickle" * 9), seal(folder)),
        "cannot be read",
    ),
    "unknown setting": (
        lambda folder: ((folder / "settings.json").write_text('{"model": {"width": 9}}'), seal(folder)),
        "settings.json: model.width is not a known setting",
    ),
    "no vocabulary": (
        lambda folder: ((folder / "config.json").write_text('{"vocab_size": -1}'), seal(folder)),
        "config.json has an impossible vocab_size",
    ),
}


@pytest.mark.parametrize(("damage", "why"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_named_and_the_one_before_is_taken(
    root: Path, tokenizer_model: Path, model: MiniGPT, damage: Callable[[Path], object], why: str
) -> None:
    good = save_model(root, tokenizer_model, model, round=1)
    bad = save_model(root, tokenizer_model, model, round=2)
    damage(bad)
    with pytest.raises(CheckpointError) as caught:
        read(bad)
    assert str(caught.value).startswith(f"{bad}: ") or str(caught.value).startswith(f"{bad} ")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    for run in ("cellmind", None):
        lines: list[str] = []
        found = newest(root, run, report=lines.append)
        assert found is not None and found.folder == good.resolve()
        assert len(lines) == 1 and str(bad.name) in lines[0] and why in lines[0]


PAINTED = "\x1b[2J\x9b31m"  # what a terminal would take for commands


def paint_header(folder: Path) -> None:
    header = json.dumps({"w": {"dtype": PAINTED, "shape": [1], "data_offsets": [0, 4]}}, ensure_ascii=False).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    seal(folder)


PAINTINGS: dict[str, Callable[[Path], object]] = {
    "manifest": lambda folder: (folder / "training.json").write_text(json.dumps({PAINTED: 1})),
    "setting": lambda folder: ((folder / "settings.json").write_text(json.dumps({PAINTED: 1})), seal(folder)),
    "vocabulary": lambda folder: (
        (folder / "config.json").write_text(json.dumps({"vocab_size": PAINTED})),
        seal(folder),
    ),
    "parameter": lambda folder: replace_parameters(folder, lambda found: found.update({PAINTED: torch.ones(1)})),
    "header": paint_header,
}


@pytest.mark.parametrize("paint", PAINTINGS.values(), ids=PAINTINGS)
def test_a_folder_of_another_device_says_nothing_to_a_terminal(folder: Path, paint: Callable[[Path], object]) -> None:
    paint(folder)
    with pytest.raises(CheckpointError) as refused:
        read(folder)
    assert str(refused.value).isprintable() and len(str(refused.value)) < len(str(folder)) + 300


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda tensors: tensors["model.norm.weight"].mul_(1.5), "other parameters than training.json names"),
        (lambda tensors: tensors["model.norm.weight"].fill_(float("nan")), "impossible numbers"),
        (lambda tensors: tensors.update({"model.norm.weight": tensors["model.norm.weight"].half()}), "torch.float16"),
    ],
)
def test_parameters_that_are_not_the_anchor_are_refused(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], object], why: str
) -> None:
    replace_parameters(folder, change)
    loaded = read(folder)
    with pytest.raises(CheckpointError, match=why):
        loaded.build_model()


def test_optimizer_state_of_another_model_is_refused(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    moments = {"exp_avg.model.norm.weight": torch.zeros(32)}
    loaded = read(save_model(root, tokenizer_model, model, optimizer=moments))
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors is of another model"):
        loaded.optimizer()


def test_tokenizer_of_another_size_is_refused(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    other = build_model(model.vocab_size + 1)
    loaded = read(save_model(root, tokenizer_model, other))
    with pytest.raises(CheckpointError, match=r"the tokenizer has \d+ pieces, the model \d+"):
        loaded.load_tokenizer()


def test_a_folder_known_to_be_whole_is_not_hashed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    hashed: list[str] = []
    files = sorted({path.name for path in copy.iterdir()} - {"README.md", "training.json"})

    def count(path: Path) -> str:
        hashed.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(reading, "file_sha256", count)
    read(folder)
    assert not hashed  # it was this process that wrote it
    read(copy)
    assert sorted(hashed) == files
    read(copy)
    assert sorted(hashed) == files
    flip_a_byte(copy)
    with pytest.raises(CheckpointError, match="damaged"):
        read(copy)


def test_settings_that_promise_a_giant_take_no_memory(folder: Path) -> None:
    giant = Settings.model_validate({"model": {"d_model": 16_384, "nhead": 8, "num_layers": 256}})
    (folder / "settings.json").write_text(giant.model_dump_json())
    seal(folder)
    with pytest.raises(CheckpointError, match=r"of another model than settings\.json"):
        read(folder)
