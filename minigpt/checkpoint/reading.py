"""Checkpoints read: a folder is believed once every file in it was found whole, unchanged and of one model."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

import tokenizer
from data.terminal import printable
from minigpt.checkpoint.manifest import (
    AVERAGE,
    LOCAL,
    MANIFEST,
    MANIFEST_LIMIT,
    MODEL,
    MODEL_CONFIG,
    OPTIMIZER,
    POSITION,
    SETTINGS,
    TOKENIZER,
    CheckpointError,
    FileEntry,
    HeldOutLoss,
    Manifest,
    Position,
    Progress,
    parse_manifest,
    reason,
)
from minigpt.model import MiniGPT
from minigpt.settings import Settings, SettingsError, parse_settings

MOMENTS = ("exp_avg", "exp_avg_sq")
BEST = "best"  # the folder of a run's best state, and the link to it
TEMPORARY = ".incoming-"  # begins the name of a folder that is being written or thrown away


@dataclass(frozen=True)
class Checkpoint:
    """A folder whose files are known to be whole. The methods load from it; each raises CheckpointError."""

    folder: Path
    progress: Progress
    settings: Settings
    files: Mapping[str, FileEntry]
    vocab_size: int
    held_out: HeldOutLoss | None = None  # of a best state

    @property
    def is_taken(self) -> bool:
        """Return whether another device gave it: its place in its texts stays with the device that wrote it."""
        return POSITION not in self.files

    def parameters(self) -> dict[str, Tensor]:
        """Return the anchor, float32: finite, of the settings' shapes, and with the hash that it should have."""
        parameters = self.load(MODEL, expected_shapes(self.settings, self.vocab_size), torch.float32)
        if parameter_hash(parameters) != self.progress.version:
            raise CheckpointError(f"{self.folder}: {MODEL} holds other parameters than {MANIFEST} names")
        return parameters

    def optimizer(self) -> dict[str, Tensor] | None:
        """Return the optimizer's moments, float32, `exp_avg.<name>` and `exp_avg_sq.<name>` (`moments_of` tells which).

        None if they were not kept. A checkpoint from before Muon has squares of all matrices: they are left out.
        """
        if OPTIMIZER not in self.files:
            return None
        shapes = expected_shapes(self.settings, self.vocab_size)
        wanted = {f"{moment}.{name}": shape for name, shape in shapes.items() for moment in moments_of(name)}
        of_adamw = {f"{moment}.{name}": shape for name, shape in shapes.items() for moment in MOMENTS}
        try:
            is_older = tensor_shapes(self.folder / OPTIMIZER).keys() == of_adamw.keys()
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{self.folder}: {OPTIMIZER} cannot be read: {reason(error)}") from error
        moments = self.load(OPTIMIZER, of_adamw if is_older else wanted, torch.bfloat16)
        return {name: moments[name] for name in wanted}

    def local(self) -> dict[str, Tensor] | None:
        """Return this device's parameters minus the anchor as float32, or None if they were not kept."""
        shapes = expected_shapes(self.settings, self.vocab_size)
        return self.load(LOCAL, shapes, torch.bfloat16) if LOCAL in self.files else None

    def average(self) -> dict[str, Tensor] | None:
        """Return this device's weight average minus the anchor as float32, or None if it was not kept."""
        shapes = expected_shapes(self.settings, self.vocab_size)
        return self.load(AVERAGE, shapes, torch.bfloat16) if AVERAGE in self.files else None

    def position(self) -> Position | None:
        """Return this device's place in its own texts and in the swarm, or None if it was not kept."""
        if POSITION not in self.files:
            return None
        try:
            return Position.model_validate_json((self.folder / POSITION).read_bytes())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.folder}: {POSITION} cannot be read: {reason(error)}") from error

    def load(self, name: str, shapes: Mapping[str, torch.Size], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the tensors of one file as float32, after a check of names, shapes, type and every number."""
        try:
            check_shapes(self.folder / name, shapes)
            tensors = load_file(self.folder / name)
        except CheckpointError as error:
            raise CheckpointError(f"{self.folder}: {error}") from error
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{self.folder}: {name} cannot be read: {reason(error)}") from error
        for tensor_name, tensor in tensors.items():
            if tensor.dtype != dtype:
                raise CheckpointError(f"{self.folder}: {tensor_name} in {name} is {tensor.dtype} and not {dtype}")
            if not tensor.isfinite().all() or (tensor_name.startswith("exp_avg_sq.") and tensor.min() < 0):
                raise CheckpointError(f"{self.folder}: {tensor_name} in {name} has impossible numbers")
        return {tensor_name: tensor.float() for tensor_name, tensor in tensors.items()}

    def build_model(self) -> MiniGPT:
        """Return the model with the anchor in it, on the CPU."""
        model = MiniGPT.from_settings(self.settings.model, self.vocab_size, self.settings.training.dataset.seq_len)
        model.load_state_dict(self.parameters())
        return model

    def load_tokenizer(self) -> Any:
        """Return the sentencepiece tokenizer that the model was trained with."""
        try:
            processor = tokenizer.load(self.folder / TOKENIZER)
        except tokenizer.TokenizerError as error:
            raise CheckpointError(f"{self.folder}: {error}") from error
        if processor.get_piece_size() != self.vocab_size:
            pieces = processor.get_piece_size()
            raise CheckpointError(f"{self.folder}: the tokenizer has {pieces} pieces, the model {self.vocab_size}")
        return processor


def parameter_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256, in hex, of names in order, shapes and float32 little-endian bytes: a version."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu", torch.float32).contiguous()  # all three for free where it is one
        digest.update(f"{name}{list(tensor.shape)}\n".encode())
        digest.update(tensor.view(-1).numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def folder_name(progress: Progress) -> str:
    """Return the name of a checkpoint's folder, unique among one device's: its own steps are in it."""
    return f"round-{progress.round:08d}-step-{progress.step:08d}"


def read(folder: Path) -> Checkpoint:
    """Return the checkpoint in `folder`, after a check of every file in it: present, whole, unchanged, of one model.

    Hashing is left out for files that this process has seen whole and that have not been touched since. Raises
    CheckpointError.
    """
    real = real_path(folder)  # `latest` may point elsewhere a moment later
    if not os.path.isdir(real):
        raise CheckpointError(f"{folder}: there is no such folder")
    if not os.path.exists(real / MANIFEST) and (inner := next(checkpoints_in(folder), None)) is not None:
        raise CheckpointError(f"{folder} is no checkpoint, but has some in it: give one of those, such as {inner}")
    try:
        manifest = read_manifest(real)
        verify_files(real, manifest)
        settings = parse_settings((real / SETTINGS).read_bytes(), SETTINGS)
        vocab_size = read_vocab_size(real)
        check_shapes(real / MODEL, expected_shapes(settings, vocab_size))
    except (CheckpointError, SettingsError) as error:
        raise CheckpointError(f"{folder}: {'; '.join(str(error).splitlines())}") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be read: {reason(error)}") from error
    return Checkpoint(real, manifest.progress, settings, manifest.files, vocab_size, manifest.held_out)


def newest(
    root: Path,
    run: str | None = None,
    report: Callable[[str], None] = print,
    *,
    run_id: str | None = None,
) -> Checkpoint | None:
    """Return the newest whole checkpoint under `root`, or None. `report` gets a line for each newer one that is not.

    Of the run with this name, and with this id if one is given, the one that is furthest. With no name: the one that
    `latest` points at, or else the one that was written last.
    """
    before: list[Path] | None = None
    while True:
        folders = list(root.glob(f"{run or '*'}/round-*"))
        found = newest_of(folders, root, run, report, run_id)
        if found is not None or folders == before or all(folder.exists() for folder in folders):
            return found
        before = folders  # a running peer has pruned all that were listed: there are newer ones


def best(root: Path, progress: Progress, report: Callable[[str], None] = print) -> Checkpoint | None:
    """Return the state of that run under `root` with the lowest held-out loss, or None if none was kept whole.

    Where one was taken of another device, whose word that is, it is the later one of the two.
    """
    return newest(root, f"{progress.run}/{BEST}", report, run_id=progress.run_id)


def best_states(root: Path, progress: Progress, report: Callable[[str], None] = print) -> list[Checkpoint]:
    """Return what of that run is kept whole under `root` as best, the latest first: our own, and one that was taken."""
    found: list[Checkpoint] = []
    for folder in (root / progress.run / BEST).glob("round-*"):
        try:
            found.append(read(folder))
        except CheckpointError as error:
            report(f"passed over {error}")
    ours = [state for state in found if state.progress.run_id == progress.run_id]
    return sorted(ours, key=lambda state: state.progress.age, reverse=True)


def newest_of(
    folders: list[Path], root: Path, run: str | None, report: Callable[[str], None], run_id: str | None
) -> Checkpoint | None:
    """Return the newest whole checkpoint among `folders`; see `newest`."""
    manifests: dict[Path, Manifest] = {}
    for folder in folders:
        try:
            manifests[folder] = read_manifest(folder)
        except CheckpointError as error:
            if folder.exists():
                report(f"passed over {folder}: {error}")

    def age(folder: Path) -> tuple[float, ...]:
        found = manifests[folder]
        return found.progress.age if run else (found.time,)

    candidates = sorted(manifests, key=age, reverse=True)
    if run is None:
        latest = real_path(root / "latest")
        candidates.sort(key=lambda folder: real_path(folder) != latest)  # it goes first; the others keep their order
    for folder in candidates:
        if run_id is None or manifests[folder].run_id == run_id:
            try:
                return read(folder)
            except CheckpointError as error:
                if folder.exists():
                    report(f"passed over {error}")
    return None


# -- reading


def real_path(path: Path) -> Path:
    """Return the path that links lead to; other than `Path.resolve`, it takes links in a circle."""
    return Path(os.path.realpath(path))


def checkpoints_in(folder: Path) -> Iterator[Path]:
    """Return folders in it that may be checkpoints, the likeliest to be meant first."""
    found = [folder / "latest", *sorted(folder.glob("round-*"), reverse=True), *folder.glob("*/round-*")]
    return (inner for inner in found if os.path.exists(inner / MANIFEST))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder. Raises CheckpointError with the reason alone, without the folder."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            return parse_manifest(file.read(MANIFEST_LIMIT + 1))
    except OSError as error:
        raise CheckpointError(f"not a whole checkpoint: {MANIFEST} cannot be read: {error.strerror}") from error


FolderState: TypeAlias = list[tuple[str, str, int, int, int]]
_seen_whole: dict[Path, FolderState] = {}  # what was found in a folder when all hashes were right


def remember_whole(folder: Path, manifest: Manifest) -> None:
    """Note that this process has just written these files: they need not be hashed when they are read."""
    _seen_whole[real_path(folder)] = verify_sizes(folder, manifest)


def forget(folder: Path) -> None:
    """Note that there is no such folder any more."""
    _seen_whole.pop(real_path(folder), None)


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare sizes, then hashes, with the manifest. Raises CheckpointError with the reason alone."""
    state = verify_sizes(folder, manifest)
    if _seen_whole.get(folder) == state:
        return
    for name, entry in manifest.files.items():
        if file_sha256(folder / name) != entry.sha256:
            raise CheckpointError(f"{name} is damaged: its bytes are not those that were written")
    _seen_whole[folder] = state


def verify_sizes(folder: Path, manifest: Manifest) -> FolderState:
    """Compare sizes with the manifest; return what would be different after any later change to the files."""
    state: FolderState = []
    for name, entry in manifest.files.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{name} is missing")
        found = (folder / name).stat()
        if found.st_size != entry.size:
            raise CheckpointError(f"{name} is cut off or changed: {found.st_size} bytes instead of {entry.size}")
        state.append((name, entry.sha256, found.st_size, found.st_mtime_ns, found.st_ino))
    return state


def read_vocab_size(folder: Path) -> int:
    """Return the vocabulary size in `config.json`, which a small corpus makes smaller than the one in the settings."""
    try:
        vocab_size = json.loads((folder / MODEL_CONFIG).read_bytes())["vocab_size"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{MODEL_CONFIG} has no vocab_size") from error
    if type(vocab_size) is not int or not 0 < vocab_size <= 1_000_000:
        raise CheckpointError(f"{MODEL_CONFIG} has an impossible vocab_size: {printable(str(vocab_size)[:40])}")
    return vocab_size


def expected_shapes(settings: Settings, vocab_size: int) -> dict[str, torch.Size]:
    """Return the parameters' names and shapes, from a model that takes no memory."""
    with torch.device("meta"):
        model = MiniGPT.from_settings(settings.model, vocab_size, settings.training.dataset.seq_len)
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def moments_of(parameter: str) -> tuple[str, ...]:
    """Return which moments the optimizer keeps of a parameter: of a layer's matrices Muon keeps the mean alone."""
    return MOMENTS[:1] if parameter.endswith("_proj.weight") else MOMENTS


def tensor_shapes(path: Path) -> dict[str, torch.Size]:
    """Return the names and shapes in the header of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return {name: torch.Size(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 -- it is no mapping


def check_shapes(path: Path, expected: Mapping[str, torch.Size]) -> None:
    """Compare the header of a safetensors file with what should be in it. Raises CheckpointError."""
    found = tensor_shapes(path)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            here, there = (list(shapes[name]) if name in shapes else "missing" for shapes in (found, expected))
            what = printable(f"{name[:100]} is {here}, not {there}")
            raise CheckpointError(f"{path.name} is of another model than {SETTINGS}: {what}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
