"""Checkpoint folders: written whole or not at all, and loadable by transformers."""

import errno
import hashlib
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import tokenizer
from minigpt.checkpoint import moments_of, newest, parameter_hash, read, save
from minigpt.checkpoint.manifest import CheckpointError, Progress
from minigpt.model import MiniGPT
from tests.tiny import LINES, SETTINGS, build_model, save_model

ALL = {
    "README.md",
    "config.json",
    "model.safetensors",
    "settings.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "training.json",
}
UNHASHED = {"README.md", "training.json"}


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


# -- what is written


def test_folder_has_the_files_and_comes_back_the_same(folder: Path, root: Path, model: MiniGPT) -> None:
    assert folder == root / "cellmind" / "round-00000001-step-00000010"
    assert {path.name for path in folder.iterdir()} == ALL
    loaded = read(folder)
    assert loaded.progress == Progress(
        "cellmind", "cellmind-0123456789ab", 1, 256, 10, parameter_hash(model.state_dict())
    )
    assert loaded.settings == SETTINGS
    assert set(loaded.files) == ALL - UNHASHED
    assert loaded.vocab_size == model.vocab_size == loaded.load_tokenizer().get_piece_size()
    assert loaded.optimizer() is None and loaded.local() is None
    rebuilt = loaded.build_model().state_dict()
    assert all(torch.equal(rebuilt[name], tensor) for name, tensor in model.state_dict().items())


def test_transformers_loads_the_folder_as_it_is(
    folder: Path, root: Path, model: MiniGPT, tokenizer_model: Path
) -> None:
    transformers: Any = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(root / "latest").eval()
    ids = torch.randint(4, model.vocab_size, (2, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-4, rtol=0)
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(root / "latest")
    ours = tokenizer.load(tokenizer_model)
    for line in LINES:
        assert their_tokenizer(line)["input_ids"] == [1, *ours.encode(line)]
        assert their_tokenizer.decode(ours.encode(line)) == line
    assert (their_tokenizer.bos_token_id, their_tokenizer.eos_token_id, their_tokenizer.pad_token_id) == (1, 2, 3)


def test_training_state_comes_back_within_bfloat16(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    """A device that resumes has the moments and the parameters it had, each number to 1 part in 256."""
    trained = build_model(model.vocab_size)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-2)
    ids = torch.randint(4, model.vocab_size, (2, 17), generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        trained(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    anchor = model.state_dict()
    moments = {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in trained.named_parameters()
        for moment in moments_of(name)
    }
    local = {name: parameter.detach() - anchor[name] for name, parameter in trained.named_parameters()}
    loaded = read(save_model(root, tokenizer_model, model, optimizer=moments, local=local))
    for saved, found in ((moments, loaded.optimizer()), (local, loaded.local())):
        assert found is not None and found.keys() == saved.keys()
        for name, tensor in saved.items():
            assert found[name].dtype == torch.float32
            torch.testing.assert_close(found[name], tensor, rtol=2**-8, atol=1e-38)
    assert any(tensor.abs().max() > 1e-3 for tensor in local.values())


def test_moments_of_adamw_from_before_muon_are_read_without_what_muon_does_not_use(
    root: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    older = {
        f"{moment}.{name}": torch.full(parameter.shape, 0.5)
        for name, parameter in model.named_parameters()
        for moment in ("exp_avg", "exp_avg_sq")
    }
    found = read(save_model(root, tokenizer_model, model, optimizer=older)).optimizer()
    assert found is not None
    assert (
        found.keys()
        == {f"{moment}.{name}" for name, _ in model.named_parameters() for moment in moments_of(name)}
        < older.keys()
    )
    assert all(bool((moment == 0.5).all()) for moment in found.values())


def test_views_of_one_flat_buffer_can_be_saved(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    flat = torch.cat([tensor.flatten() for tensor in model.state_dict().values()])
    sizes = [tensor.numel() for tensor in model.state_dict().values()]
    views = {
        name: part.view_as(tensor)
        for (name, tensor), part in zip(model.state_dict().items(), flat.split(sizes), strict=True)
    }
    progress = Progress("cellmind", "cellmind-0123456789ab", 0, 0, 0, parameter_hash(views))
    folder = save(
        root,
        progress,
        parameters=views,
        model_config=model.hugging_face_config(),
        settings=SETTINGS,
        tokenizer_model=tokenizer_model,
    )
    assert read(folder).parameters().keys() == views.keys()


def test_hash_depends_on_names_shapes_and_every_number() -> None:
    tensors = {"b": torch.arange(6.0).view(2, 3), "a": torch.ones(2)}
    base = parameter_hash(tensors)
    assert base == parameter_hash(dict(reversed(tensors.items())))
    assert base == parameter_hash({"a": tensors["a"], "b": tensors["b"].t().contiguous().t()})
    expected = hashlib.sha256(b"a[2]\n" + b"\0\0\x80\x3f" * 2 + b"b[2, 3]\n" + tensors["b"].numpy().tobytes())
    assert base == expected.hexdigest()
    flipped = tensors["b"].clone()
    flipped[1, 2] += 1e-6
    for other in ({"b": flipped}, {"b": tensors["b"].view(3, 2)}, {"c": tensors["b"]}):
        assert parameter_hash({"a": tensors["a"], **other}) != base


def test_wrong_anchor_is_the_callers_mistake(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    with pytest.raises(ValueError, match="anchor"):
        save(
            root,
            Progress("cellmind", "cellmind-0123456789ab", 0, 0, 0, "0" * 64),
            parameters=model.state_dict(),
            model_config=model.hugging_face_config(),
            settings=SETTINGS,
            tokenizer_model=tokenizer_model,
        )
    assert not root.exists()


# -- latest, the newest few, the same again


def test_latest_points_at_the_newest_and_old_ones_go(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    (root / "cellmind").mkdir(parents=True)
    (root / "cellmind" / "metrics.jsonl").write_text("{}\n")
    other = save_model(root, tokenizer_model, model, round=1, run="class", run_id="class-0123456789ab")
    for round in range(5):
        saved = save_model(root, tokenizer_model, model, round=round, keep=3)
        assert (root / "latest").resolve() == saved.resolve()
        assert not os.path.isabs(os.readlink(root / "latest"))
    assert sorted(path.name[:14] for path in (root / "cellmind").iterdir()) == [
        "metrics.jsonl",
        *(f"round-{round:08d}" for round in (2, 3, 4)),
    ]
    assert other.exists()
    assert {path.name for path in root.iterdir()} == {"cellmind", "class", "latest"}


def test_numbers_that_no_manifest_takes_are_a_checkpoint_that_cannot_be_written(
    root: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    with pytest.raises(CheckpointError, match="cannot be written: Input should be less than 9007199254740992"):
        save_model(root, tokenizer_model, model, samples=2**53)
    assert tree(root) == set()


def test_a_link_that_leads_nowhere_is_no_checkpoint(root: Path, folder: Path) -> None:
    (root / "cellmind" / "round-best").symlink_to(root / "gone")
    said: list[str] = []
    found = newest(root, "cellmind", said.append)
    assert found is not None and found.folder == folder
    shutil.rmtree(folder)
    assert newest(root, "cellmind", said.append) is None


def test_what_latest_points_at_is_never_pruned(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    for round in (7, 8, 2):  # back to an older state
        saved = save_model(root, tokenizer_model, model, round=round, keep=2)
    assert (root / "latest").resolve() == saved.resolve()
    assert len(list((root / "cellmind").iterdir())) == 3
    assert read(root / "latest").progress.round == 2


def test_same_progress_is_not_written_again(folder: Path, root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    before = folder.stat().st_ino
    assert save_model(root, tokenizer_model, model) == folder
    assert folder.stat().st_ino == before
    average = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for _ in range(2):
        assert save_model(root, tokenizer_model, model, average=average) == folder
        assert read(folder).average() is not None, "where it was not there yet, it comes in"


def test_torn_folder_of_the_same_name_is_replaced(
    folder: Path, root: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    os.truncate(folder / "model.safetensors", 100)
    assert save_model(root, tokenizer_model, model) == folder
    read(folder).parameters()
    assert [path.name for path in (root / "cellmind").iterdir()] == [folder.name]


def test_another_model_of_the_same_run_name_is_left_alone(
    folder: Path, root: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    with pytest.raises(CheckpointError, match=r"belongs to another run of the same name \(cellmind-0123456789ab"):
        save_model(root, tokenizer_model, model, run_id="cellmind-ffffffffffff")
    assert read(folder).progress.run_id == "cellmind-0123456789ab"
    save_model(root, tokenizer_model, model, round=0, run_id="cellmind-ffffffffffff", keep=1)
    assert folder.exists()
    chosen = newest(root, "cellmind", run_id="cellmind-ffffffffffff")
    assert chosen is not None and chosen.progress.round == 0


# -- the newest


def test_newest_of_a_run_is_the_one_that_is_furthest(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    assert newest(root) is None
    save_model(root, tokenizer_model, model, round=2, step=5, samples=512)
    save_model(root, tokenizer_model, model, round=2, step=3, samples=513)
    save_model(root, tokenizer_model, model, round=1, step=900)
    last = save_model(root, tokenizer_model, model, round=0, run="class", run_id="class-0123456789ab")
    found = newest(root, "cellmind")
    assert found is not None and (found.progress.round, found.progress.step) == (2, 3)
    found = newest(root)
    assert found is not None and found.folder == last.resolve()
    (root / "latest").unlink()
    found = newest(root)  # by the time of writing
    assert found is not None and found.folder == last.resolve()
    assert newest(root, "nobody") is None


# -- interrupted and impossible writing


def test_what_was_being_written_when_the_power_went_is_never_taken(
    folder: Path, root: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    torn = Path(shutil.copytree(folder, folder.parent / ".incoming-round-00000009-step-00000090-0a0b0c0d"))
    (torn / "training.json").unlink()
    found = newest(root, "cellmind")
    assert found is not None and found.folder == folder.resolve()
    save_model(root, tokenizer_model, model, round=2)
    assert torn.exists()  # it may be another process's that is still at it
    long_ago = time.time() - 3600
    os.utime(torn, (long_ago, long_ago))
    save_model(root, tokenizer_model, model, round=3)
    assert not torn.exists()


@pytest.mark.parametrize("survives", [0, 1, 3, 7, 9])
def test_disk_that_fills_up_takes_nothing_with_it(
    folder: Path,
    root: Path,
    tokenizer_model: Path,
    model: MiniGPT,
    monkeypatch: pytest.MonkeyPatch,
    survives: int,
) -> None:
    """The disk is full after so many files were synced; 9 is after the rename's own."""
    before, calls, fsync = tree(root), [0], os.fsync

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] > survives:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        if survives < 9:
            with pytest.raises(CheckpointError) as caught:
                save_model(root, tokenizer_model, model, round=2)
            assert "round-00000002-step-00000010 cannot be written: No space left on device" in str(caught.value)
            assert tree(root) == before
        else:
            save_model(root, tokenizer_model, model, round=2)
    found = newest(root)
    assert found is not None and found.progress.round == (2 if survives == 9 else 1)
    found.parameters()


@pytest.mark.parametrize("small_disk", ["256k"], indirect=True)
def test_full_disk(small_disk: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    first = save_model(small_disk, tokenizer_model, model, round=1)
    before = tree(small_disk)
    with pytest.raises(CheckpointError) as caught:
        for round in range(2, 9):
            save_model(small_disk, tokenizer_model, model, round=round, keep=9)
            before = tree(small_disk)
    assert "No space left on device" in str(caught.value) and "\n" not in str(caught.value)
    assert tree(small_disk) == before
    read(first).parameters()
    found = newest(small_disk)
    assert found is not None
    found.parameters()


def test_missing_tokenizer_is_said(root: Path, tmp_path: Path, model: MiniGPT) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be written: No such file or directory .*none\.model"):
        save_model(root, tmp_path / "none.model", model)
    assert tree(root) == set()


def test_saving_from_a_background_thread_while_others_read(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    save_model(root, tokenizer_model, model, round=0)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for round in range(1, 8):
                save_model(root, tokenizer_model, model, round=round, keep=3)
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while writer.is_alive():
        found = newest(root, report=lambda line: None)
        seen.append(found.progress.round if found else -1)
    writer.join()
    assert not failures
    assert seen == sorted(seen) and seen[0] >= 0  # at no moment was there none, or an older one than before
