"""Checkpoints: folders that transformers can load as they are, with what training needs to go on beside it.

    checkpoints/latest -> cellmind/round-00000012-step-00000345
    checkpoints/best -> cellmind/best/round-00000009-step-00000260
    checkpoints/cellmind/round-00000012-step-00000345/
        model.safetensors        the parameters the swarm agreed on (the anchor), float32
        config.json, tokenizer.model, tokenizer_config.json        for AutoModelForCausalLM and AutoTokenizer
        settings.json            the run's settings
        optimizer.safetensors    the optimizer's moments, bfloat16 (where there are some)
        local.safetensors        this device's parameters minus the anchor, bfloat16, where they differ (never sent)
        average.safetensors      its weight average minus the anchor, bfloat16, where it ended well (never sent either)
        position.json            where this device is in its own texts and in the swarm (never sent)
        README.md                the model card, for people (who may edit it: no hash, and never sent)
        training.json            how far the run was, and size and hash of every other file; written last
    checkpoints/cellmind/best/round-00000009-step-00000260/
        the same without optimizer, local and average: the state with the lowest loss on this device's held-out texts,
        which stands in its training.json; or one that another device calls its best, without position and README

A folder is written under a temporary name, synced and renamed: what has its real name is whole. Reading trusts nothing
all the same, since a folder may come from another device or a worn SD card. Nothing is loaded through pickle.

`writing.py` writes them, `reading.py` reads them, and the names that the rest of the project takes are exported here.
Training and the network never come in: a checkpoint knows files, settings and the model's shapes.
"""

from typing import TYPE_CHECKING, Any

from minigpt.checkpoint.manifest import CheckpointError, reason

if TYPE_CHECKING:
    from minigpt.checkpoint.reading import (
        BEST,
        MOMENTS,
        Checkpoint,
        best,
        best_states,
        expected_shapes,
        file_sha256,
        folder_name,
        moments_of,
        newest,
        parameter_hash,
        read,
        read_manifest,
        read_vocab_size,
    )
    from minigpt.checkpoint.writing import discard, point_at, prune, save

__all__ = [
    "BEST",
    "MOMENTS",
    "Checkpoint",
    "CheckpointError",
    "best",
    "best_states",
    "discard",
    "expected_shapes",
    "file_sha256",
    "folder_name",
    "moments_of",
    "newest",
    "parameter_hash",
    "point_at",
    "prune",
    "read",
    "read_manifest",
    "read_vocab_size",
    "reason",
    "save",
]


def __getattr__(name: str) -> Any:
    """Load what reads and writes, and PyTorch with it, when it is first asked for.

    Manifests, settings and messages need none of it, nor do commands that only ask a running peer.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from minigpt.checkpoint import reading, writing

    globals()[name] = found = getattr(reading if hasattr(reading, name) else writing, name)
    return found
