"""Checkpoints written: a folder under a temporary name, synced and renamed, so that what has its real name is whole."""

import json
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

import tokenizer
from data.atomic import replacing, sync
from minigpt.checkpoint.card import CARD, model_card
from minigpt.checkpoint.manifest import (
    LOCAL,
    MANIFEST,
    MODEL,
    MODEL_CONFIG,
    OPTIMIZER,
    POSITION,
    SETTINGS,
    TOKENIZER,
    TOKENIZER_CONFIG,
    CheckpointError,
    FileEntry,
    Manifest,
    Position,
    Progress,
)
from minigpt.checkpoint.reading import (
    TEMPORARY,
    file_sha256,
    folder_name,
    forget,
    parameter_hash,
    read,
    read_manifest,
    real_path,
    reason,
    remember_whole,
)
from minigpt.settings import Settings, dump_settings

LEFTOVER_SECONDS = 600  # a temporary folder this old was left by a process that died


def save(
    root: Path,
    progress: Progress,
    *,
    parameters: Mapping[str, Tensor],
    model_config: Mapping[str, object],
    settings: Settings,
    tokenizer_model: Path,
    optimizer: Mapping[str, Tensor] | None = None,
    local: Mapping[str, Tensor] | None = None,
    position: Position | None = None,
    keep: int = 3,
) -> Path:
    """Write a checkpoint folder under `root`, let `latest` point at it, keep the newest `keep` of this run id.

    The tensors must not change meanwhile; a background thread may call this on a copy. A whole folder of the same
    progress is left as it is. Raises CheckpointError (a full disk, say), with all earlier checkpoints as they were.
    """
    folder = root / progress.run / folder_name(progress)
    if parameter_hash(parameters) != progress.version:
        raise ValueError("the anchor's hash in `progress` is not that of `parameters`")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder.parent)
        if not is_saved(folder, progress):
            temporary = folder.parent / f"{TEMPORARY}{folder.name}-{secrets.token_hex(4)}"
            try:
                temporary.mkdir()
                write_files(temporary, parameters, model_config, settings, tokenizer_model, optimizer, local)
                if position is not None:
                    (temporary / POSITION).write_text(position.model_dump_json(), encoding="utf-8")
                write_card(temporary, progress, settings, parameters)
                manifest = write_manifest(temporary, progress)
                if folder.exists():
                    discard(folder)
                temporary.rename(folder)
                sync(folder.parent)
                remember_whole(folder, manifest)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        point_latest(root, folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint {folder} cannot be written: {reason(error)}") from error
    except ValidationError as error:
        what = "; ".join(problem["msg"] for problem in error.errors())
        raise CheckpointError(f"the checkpoint {folder} cannot be written: {what}") from error
    prune(root, progress, keep)
    return folder


def is_saved(folder: Path, progress: Progress) -> bool:
    """Return True if `folder` holds this progress already. Raises CheckpointError if it holds another model's."""
    try:
        found = read(folder).progress
    except CheckpointError:
        return False  # not there, or torn: it will be replaced
    if found.run_id != progress.run_id:
        raise CheckpointError(
            f"{folder} belongs to another run of the same name ({found.run_id}, and this is {progress.run_id}): "
            "move it away, or give this run a name of its own (swarm.run)"
        )
    return found == progress


def write_files(
    folder: Path,
    parameters: Mapping[str, Tensor],
    model_config: Mapping[str, object],
    settings: Settings,
    tokenizer_model: Path,
    optimizer: Mapping[str, Tensor] | None,
    local: Mapping[str, Tensor] | None,
) -> None:
    """Write all files but the model card and the manifest."""
    write_tensors(folder / MODEL, parameters, torch.float32)
    if optimizer is not None:
        write_tensors(folder / OPTIMIZER, optimizer, torch.bfloat16)
    if local is not None:
        write_tensors(folder / LOCAL, local, torch.bfloat16)
    (folder / MODEL_CONFIG).write_text(json.dumps(model_config, indent=2), encoding="utf-8")
    (folder / SETTINGS).write_text(dump_settings(settings), encoding="utf-8")
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(tokenizer.HUGGING_FACE_SETTINGS, indent=2), encoding="utf-8")
    shutil.copyfile(tokenizer_model, folder / TOKENIZER)


def write_card(folder: Path, progress: Progress, settings: Settings, parameters: Mapping[str, Tensor]) -> None:
    """Write the model card, with what the run's metrics.jsonl, beside the folder, knows by now."""
    count = sum(tensor.numel() for tensor in parameters.values())
    card = model_card(progress, settings, count, folder.parent / "metrics.jsonl")
    (folder / CARD).write_text(card, encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Write tensors as safetensors of one type; "pt" is what transformers asks for."""
    ready = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    save_file(ready, path, metadata={"format": "pt"})


def write_manifest(folder: Path, progress: Progress) -> Manifest:
    """Sync all files, then write and sync the manifest that names them, all but the card."""
    files = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        if path.name != CARD:
            files[path.name] = FileEntry(size=path.stat().st_size, sha256=file_sha256(path))
    manifest = Manifest(format=1, **asdict(progress), time=time.time(), files=files)
    (folder / MANIFEST).write_bytes(manifest.dump())
    sync(folder / MANIFEST)
    sync(folder)
    return manifest


def point_latest(root: Path, folder: Path) -> None:
    """Let `latest` point at `folder`; at no moment is it gone."""
    with replacing(root / "latest", synced=False) as link:
        link.symlink_to(folder.relative_to(root))


def prune(root: Path, progress: Progress, keep: int) -> None:
    """Throw away all but the newest `keep` folders of this run id, and never the one that `latest` points at."""
    found = []
    for folder in (root / progress.run).glob("round-*"):
        try:
            manifest = read_manifest(folder)
        except CheckpointError:
            continue  # not whole: not ours to judge
        if manifest.run_id == progress.run_id:
            found.append((manifest.round, manifest.samples, manifest.step, folder))
    for *_, folder in sorted(found, reverse=True)[keep:]:
        if real_path(folder) != real_path(root / "latest"):
            discard(folder)


def clear_leftovers(parent: Path) -> None:
    """Remove temporary folders of processes that died while they wrote."""
    for folder in parent.glob(f"{TEMPORARY}*"):
        if folder.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder so that it is never seen half removed."""
    hidden = folder.with_name(f"{TEMPORARY}{folder.name}-{secrets.token_hex(4)}")
    try:
        folder.rename(hidden)
    except OSError:
        return  # somebody else was faster, or it cannot be moved: it is whole, and does no harm
    shutil.rmtree(hidden, ignore_errors=True)
    forget(folder)
