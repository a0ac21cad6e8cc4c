"""How large a file of a donor may be, before a byte of it is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigpt import checkpoint
from minigpt.checkpoint.manifest import AVERAGE, LOCAL, MODEL, OPTIMIZER, TOKENIZER, FileEntry, Manifest
from peer.state import fetching
from peer.state.fetching import TransferError
from tests.peer.state.donors import RUN


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER, TOKENIZER, AVERAGE])
def test_no_file_is_larger_than_the_run_s_model_needs(donor_folder: Path, name: str) -> None:
    (folder,) = donor_folder.glob(f"{RUN}/round-*")
    manifest = checkpoint.read_manifest(folder)

    def with_size(size: int) -> Manifest:
        entry = FileEntry(size=size, sha256=manifest.files[TOKENIZER].sha256)
        return manifest.model_copy(update={"files": {**manifest.files, name: entry}})

    state = checkpoint.read(folder)
    numbers = sum(shape.numel() for shape in checkpoint.expected_shapes(state.settings, state.vocab_size).values())
    most = fetching.most_bytes(numbers, state.vocab_size)[name]
    assert manifest.files[name if name in manifest.files else LOCAL].size <= most < 4 * 2**20
    fetching.check_size(name, with_size(most), folder)
    with pytest.raises(TransferError, match=rf"has {most + 1:,} bytes, and at most {most:,} fit its settings"):
        fetching.check_size(name, with_size(most + 1), folder)


def test_settings_of_another_run_do_not_tell_how_large_its_files_are(donor_folder: Path) -> None:
    (folder,) = donor_folder.glob(f"{RUN}/round-*")
    manifest = checkpoint.read_manifest(folder).model_copy(update={"run_id": "cellmind-0123456789ab"})
    with pytest.raises(TransferError, match="are not those of run cellmind-0123456789ab"):
        fetching.check_size(MODEL, manifest, folder)
