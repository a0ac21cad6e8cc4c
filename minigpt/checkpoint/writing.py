"""Checkpoints written: a folder under a temporary name, synced and renamed, so that what has its real name is whole."""

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
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
    AVERAGE,
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
    HeldOutLoss,
    Manifest,
    Position,
    Progress,
    reason,
)
from minigpt.checkpoint.reading import (
    BEST,
    TEMPORARY,
    file_sha256,
    folder_name,
    forget,
    parameter_hash,
    read,
    read_manifest,
    real_path,
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
    average: Mapping[str, Tensor] | None = None,
    position: Position | None = None,
    held_out: HeldOutLoss | None = None,
    keep: int = 3,
) -> Path:
    """Write a checkpoint folder under `root`, let `latest` point at it, keep the newest `keep` of this run id.

    With a held-out loss it is the run's best state: a folder apart, which takes the place of the best one before it
    and is never pruned, and `best` points at it.

    The tensors must not change meanwhile; a background thread may call this on a copy. A whole folder of the same
    progress is left as it is. Raises CheckpointError (a full disk, say), with all earlier checkpoints as they were.
    """
    place = root / progress.run if held_out is None else root / progress.run / BEST
    folder = place / folder_name(progress)
    if parameter_hash(parameters) != progress.version:
        raise ValueError("the anchor's hash in `progress` is not that of `parameters`")
    try:
        place.mkdir(parents=True, exist_ok=True)
        clear_leftovers(place)
        if not is_saved(folder, progress, held_out, position, average is not None):
            temporary = place / f"{TEMPORARY}{folder.name}-{secrets.token_hex(4)}"
            try:
                temporary.mkdir()
                write_files(temporary, parameters, model_config, settings, tokenizer_model, optimizer, local, average)
                if position is not None:
                    (temporary / POSITION).write_text(position.model_dump_json(), encoding="utf-8")
                count = sum(tensor.numel() for tensor in parameters.values())
                card = model_card(progress, settings, count, root / progress.run / "metrics.jsonl", held_out)
                (temporary / CARD).write_text(card, encoding="utf-8")
                manifest = write_manifest(temporary, progress, held_out)
                if folder.exists():
                    discard(folder)
                temporary.rename(folder)
                sync(place)
                remember_whole(folder, manifest)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        point_at(root / ("latest" if held_out is None else BEST), folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint {folder} cannot be written: {reason(error)}") from error
    except ValidationError as error:
        what = "; ".join(problem["msg"] for problem in error.errors())
        raise CheckpointError(f"the checkpoint {folder} cannot be written: {what}") from error
    if held_out is None:
        prune(root, progress, keep)
    else:
        keep_only(folder, progress)
    return folder


def is_saved(
    folder: Path, progress: Progress, held_out: HeldOutLoss | None, position: Position | None, with_average: bool
) -> bool:
    """Return True if `folder` holds this progress already; a best state with the same loss on the same texts.

    With a weight average, where there is one to keep.

    Raises CheckpointError if it holds another model's.
    """
    try:
        found = read(folder)
    except CheckpointError:
        return False  # not there, or torn: it will be replaced
    run_id = found.progress.run_id
    if run_id != progress.run_id:
        raise CheckpointError(
            f"{folder} belongs to another run of the same name ({run_id}, and this is {progress.run_id}): "
            "move it away, or give this run a name of its own (swarm.run)"
        )
    is_judged_anew = held_out is not None and (found.held_out, found.position()) != (held_out, position)
    lacks_average = with_average and AVERAGE not in found.files
    return found.progress == progress and not is_judged_anew and not lacks_average


def write_files(
    folder: Path,
    parameters: Mapping[str, Tensor],
    model_config: Mapping[str, object],
    settings: Settings,
    tokenizer_model: Path,
    optimizer: Mapping[str, Tensor] | None,
    local: Mapping[str, Tensor] | None,
    average: Mapping[str, Tensor] | None,
) -> None:
    """Write all files but the model card and the manifest."""
    write_tensors(folder / MODEL, parameters, torch.float32)
    if optimizer is not None:
        write_tensors(folder / OPTIMIZER, optimizer, torch.bfloat16)
    if local is not None:
        write_tensors(folder / LOCAL, local, torch.bfloat16)
    if average is not None:
        write_tensors(folder / AVERAGE, average, torch.bfloat16)
    (folder / MODEL_CONFIG).write_text(json.dumps(model_config, indent=2), encoding="utf-8")
    (folder / SETTINGS).write_text(dump_settings(settings), encoding="utf-8")
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(tokenizer.HUGGING_FACE_SETTINGS, indent=2), encoding="utf-8")
    shutil.copyfile(tokenizer_model, folder / TOKENIZER)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Write tensors as safetensors of one type; "pt" is what transformers asks for."""
    ready = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    save_file(ready, path, metadata={"format": "pt"})


def write_manifest(folder: Path, progress: Progress, held_out: HeldOutLoss | None) -> Manifest:
    """Sync all files, then write and sync the manifest that names them, all but the card."""
    files = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        if path.name != CARD:
            files[path.name] = FileEntry(size=path.stat().st_size, sha256=file_sha256(path))
    manifest = Manifest(format=1, **asdict(progress), time=time.time(), held_out=held_out, files=files)
    (folder / MANIFEST).write_bytes(manifest.dump())
    sync(folder / MANIFEST)
    sync(folder)
    return manifest


def point_at(link: Path, folder: Path) -> None:
    """Let a link beside the runs, `latest` or `best`, point at `folder`; at no moment is it gone. Raises OSError."""
    with replacing(link, synced=False) as part:
        part.symlink_to(folder.relative_to(link.parent))


def prune(root: Path, progress: Progress, keep: int) -> None:
    """Throw away all but the newest `keep` folders of this run id, and never the one that `latest` points at."""
    found = [
        (manifest.round, manifest.samples, manifest.step, folder)
        for folder, manifest in whole_folders(root / progress.run, progress.run_id)
    ]
    for *_, folder in sorted(found, reverse=True)[keep:]:
        if real_path(folder) != real_path(root / "latest"):
            discard(folder)


def keep_only(folder: Path, progress: Progress) -> None:
    """Throw away what else is of this run id beside a folder."""
    for other, _ in whole_folders(folder.parent, progress.run_id):
        if other != folder:
            discard(other)


def whole_folders(place: Path, run_id: str) -> Iterator[tuple[Path, Manifest]]:
    """Yield the checkpoints of that run in a place; what has no sound manifest is not ours to judge."""
    for folder in place.glob("round-*"):
        with suppress(CheckpointError):
            manifest = read_manifest(folder)
            if manifest.run_id == run_id:
                yield folder, manifest


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
