"""The memory that this device has left, and the errors that say that there was none.

On Linux the kernel's files tell, limits of containers included; on macOS psutil does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch


class OutOfMemory(Exception):
    """Not even one sequence a step fits; the message is for the user."""


def is_out_of_memory(error: Exception) -> bool:
    """Return True if an allocation was refused; torch has a type of its own for it on some GPUs only."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in ("allocate memory", "out of memory"))
    )


def available_memory(device: torch.device, root: Path = Path("/")) -> int | None:
    """Return the bytes that a program may still take on `device`, or None if that cannot be known.

    :param root: below which the kernel shows itself: proc/ and sys/
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [free for free in (_free_memory(root), *_left_in_groups(root)) if free is not None]
    return min(found, default=None)


def _free_memory(root: Path) -> int | None:
    if sys.platform == "darwin":
        import psutil  # installed on macOS alone (setup.py)

        return int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _left_in_groups(root: Path) -> Iterator[int | None]:
    """Yield what the limits of our control groups leave, as in a container; versions 1 and 2, see cgroups(7)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, group_path = line.partition(":")
        controllers, _, path = group_path.partition(":")
        if path and controllers in ("", "memory"):
            top = root / "sys/fs/cgroup" / controllers
            names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
            group = top / path.lstrip("/")
            for folder in (group, *group.parents):
                yield _left_in(folder, *(folder / f"memory.{name}" for name in names))
                if folder == top:
                    break


def _left_in(folder: Path, limit: Path, used: Path) -> int | None:
    with suppress(OSError, ValueError):  # "max" is no number, and the uppermost group has no limit
        reclaimable = 0
        for line in (folder / "memory.stat").read_text().splitlines():
            if line.startswith(("inactive_file ", "total_inactive_file ")):
                reclaimable = int(line.split()[1])
        return max(0, int(limit.read_text()) - int(used.read_text()) + reclaimable)
    return None
