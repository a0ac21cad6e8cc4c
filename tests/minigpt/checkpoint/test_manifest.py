"""A checkpoint's manifest alone, as it comes over the network."""

import json

import pytest

from minigpt.checkpoint.manifest import CheckpointError, Manifest, Progress, parse_manifest

HASHED = ("config.json", "model.safetensors", "settings.json", "tokenizer.model", "tokenizer_config.json")


def manifest(**changes: object) -> bytes:
    entry = {"size": 10, "sha256": "ab" * 32}
    content: dict[str, object] = {
        "format": 1,
        "run": "cellmind",
        "run_id": "cellmind-0123456789ab",
        "round": 3,
        "samples": 768,
        "step": 12,
        "anchor": "cd" * 32,
        "time": 1.7e9,
        "files": {name: entry for name in HASHED},
    }
    return json.dumps({**content, **changes}).encode()


def test_manifest_is_parsed() -> None:
    parsed = parse_manifest(manifest())
    assert isinstance(parsed, Manifest)
    assert parsed.progress == Progress("cellmind", "cellmind-0123456789ab", 3, 768, 12, "cd" * 32)
    assert parsed.files["config.json"].size == 10


FILES = json.loads(manifest())["files"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff" * 100,
        b" " * 100_000 + manifest(),
        manifest(format=2),
        manifest(run="../../etc"),
        manifest(run_id="cellmind"),
        manifest(round=-1),
        manifest(round="3"),
        manifest(samples=2**60),
        manifest(anchor="CD" * 32),
        manifest(time=float("inf")),
        manifest(extra=1),
        manifest(files={}),
        manifest(files={**FILES, "../../.bashrc": {"size": 1, "sha256": "ab" * 32}}),
        manifest(files={**FILES, "pytorch_model.bin": {"size": 1, "sha256": "ab" * 32}}),
        manifest(files={**FILES, "config.json": {"size": 2**30, "sha256": "ab" * 32}}),
        manifest(files={**FILES, "config.json": {"size": -1, "sha256": "ab" * 32}}),
        manifest(files={**FILES, "config.json": {"size": 1, "sha256": "xy" * 32}}),
    ],
)
def test_manifest_that_cannot_be_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_manifest(data)
    assert "\n" not in str(caught.value) and "training.json" in str(caught.value)
