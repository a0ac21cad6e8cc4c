"""What is private on this device: files and folders that nobody but their owner can read.

Like `data/atomic.py` this is the ground floor of the house: it imports nothing of the project, so every package may
import it.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OF_A_CLONE = {"README.md", "group_chat_001.csv", "group_chat_002.csv", "group_chat_003.csv"}  # nobody's own


def keep_private() -> None:
    """From now on let nobody but the owner read what this process and its children make."""
    os.umask(_OTHERS)


def close_to_others(places: Iterable[Path], report: Callable[[str], None]) -> None:
    """Take files, and folders with all that is in them, from everybody but their owner (0600 and 0700).

    `report` is told which were open, and which still are: another user's, or on a file system that knows no modes. A
    folder that the home folder or the current one is in holds more than ours, and is left as it is.
    """
    closed, still_open = [], []
    for place in places:
        try:
            was_open = bool(place.stat().st_mode & _OTHERS)
        except OSError:  # there is none
            continue
        if any(here.is_relative_to(place.resolve()) for here in (Path.cwd(), Path.home().resolve())):
            continue
        paths = list(_all_in(place))
        refused = [path for path in paths if not _close(path)]
        if refused:
            still_open.append(refused[0])
        elif was_open and any(path.name not in _OF_A_CLONE for path in paths if not path.is_dir()):
            closed.append(place)
    if closed:
        report(f"other users of this device could read {', '.join(map(str, closed))}: they cannot any more")
    if still_open:
        report(f"other users of this device may read {', '.join(map(str, still_open))}: that cannot be changed here")


def _all_in(place: Path) -> Iterator[Path]:
    """Yield a place and all that is in it; a link that is in it is left out, for it may lead anywhere."""
    yield place
    for folder, folders, files in os.walk(place):
        yield from (path for name in (*folders, *files) if not (path := Path(folder, name)).is_symlink())


def _close(path: Path) -> bool:
    """Let the owner alone read a file or folder; return whether that is so now."""
    try:
        status = path.stat()
        if status.st_mode & _OTHERS and status.st_uid == os.geteuid():
            path.chmod(status.st_mode & stat.S_IRWXU)
            status = path.stat()
    except FileNotFoundError:  # by now
        return True
    except OSError:
        return False
    return not status.st_mode & _OTHERS
