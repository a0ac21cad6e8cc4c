"""Files that are whole or not there: written beside their place under a hidden name, then renamed into it.

Data, tokenizer, minigpt and peer all write this way. This is the ground floor of the house, below all of them: it
imports nothing of the project, so every one may import it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing_all(paths: Sequence[Path], *, synced: bool = True) -> Iterator[list[Path]]:
    """Give the block a hidden path beside each of `paths`; what it writes there replaces them all when it ends well.

    The hidden files are on the disk before the first is renamed, and so are the new names when this returns, unless
    `synced` is False, which is for what can be made again. If the block or the disk fails, the files at `paths` are as
    they were, and nothing is left beside them. Raises OSError.
    """
    hidden = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    _remove(hidden)  # of a process of this id that was killed: in a container it is often the same
    try:
        yield hidden
        if synced:
            for part in hidden:
                sync(part)
        for part, path in zip(hidden, paths):
            os.replace(part, path)
        if synced:
            for folder in {path.parent for path in paths}:
                sync(folder)
    finally:
        _remove(hidden)


def _remove(hidden: Sequence[Path]) -> None:
    for part in hidden:
        with suppress(OSError):  # renamed by now, or never written
            part.unlink()


@contextmanager
def replacing(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """Give the block a hidden path beside `path`; see `replacing_all`. It may make a file there, or a link."""
    with replacing_all([path], synced=synced) as (part,):
        yield part


def write_whole(path: Path, content: str | bytes, *, synced: bool = True) -> None:
    """Let `path` hold `content`, a text as UTF-8; see `replacing_all`."""
    with replacing(path, synced=synced) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def sync(path: Path) -> None:
    """Make sure that a file's bytes, or a folder's names, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
