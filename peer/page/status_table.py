"""The snapshot as a table in the terminal, for whoever is on SSH: `python -m peer --status`."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from data.terminal import as_called, printable
from peer.page.control import NotDone
from peer.page.models import PeerNow, Snapshot
from peer.page.snapshot import SNAPSHOT, read_snapshot

WATCH_SECONDS = 1.0
ROLES = {"training": "trains", "asking": "asks to be let in", "ejected": "ejected: trains its own copy"}


def show_status(checkpoints: Path, runs: bool, as_json: bool, watch: bool) -> None:
    """Print the newest snapshot once, or until Ctrl+C. Raises NotDone where there is none.

    :param runs: a peer runs in that folder now
    """
    console = Console(highlight=False, markup=False, emoji=False)
    snapshot = newest(checkpoints, runs)
    if as_json:
        print(snapshot.model_dump_json(exclude={"page"}), flush=True)
        while watch:
            time.sleep(WATCH_SECONDS)
            if (newer := newest(checkpoints, runs)).time != snapshot.time:
                snapshot = newer
                print(snapshot.model_dump_json(exclude={"page"}), flush=True)
        return
    if not watch:
        print_status(console, snapshot, time.time())
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            snapshot, now = newest(checkpoints, runs), time.time()
            live.update(Group(*heading_lines(snapshot, now), rows(snapshot, now)), refresh=True)
            time.sleep(WATCH_SECONDS)


def newest(checkpoints: Path, runs: bool) -> Snapshot:
    """Return the newest snapshot. Raises NotDone where there is none that can be shown."""
    snapshot = read_snapshot(checkpoints)
    if not runs and not (checkpoints / SNAPSHOT).exists():
        raise NotDone(f"no peer runs in {checkpoints}: start one with python -m peer --join")
    if snapshot.problem:
        raise NotDone(snapshot.problem)
    return snapshot if runs else snapshot.after_the_end()


def print_status(console: Console, snapshot: Snapshot, now: float) -> None:
    """Print what there is to see at this time."""
    # The lines are not wrapped: a line break of ours in the middle of a command would be copied with it.
    console.print(*heading_lines(snapshot, now), sep="\n", soft_wrap=True)
    console.print(rows(snapshot, now))


def heading_lines(snapshot: Snapshot, now: float) -> list[Text]:
    """Return the lines above the table, fit for a terminal, with commands as they can be typed here."""
    return [Text(printable(as_called(line))) for line in heading(snapshot, now)]


def rows(snapshot: Snapshot, now: float) -> Table:
    """Return the table of devices, this one first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("device", "kind", "tokens/s", "share", "since", "state"):
        table.add_column(column, justify="right" if column in ("tokens/s", "share") else "left", no_wrap=True)
    for peer in snapshot.peers:
        share = "" if peer.share is None else f"{100 * peer.share:.0f} %"
        speed = f"{peer.tokens_per_second:,.0f}" if peer.left_at is None else ""
        name = printable(peer.name) + (" (this one)" if peer.is_us else "")
        kind = "" if peer.kind == "unknown" else peer.kind
        table.add_row(name, kind, speed, share, clock(peer.since, now), printable(state(peer, now)))
    return table


def heading(snapshot: Snapshot, now: float) -> list[str]:
    """Return the lines above the table: the run, what it has learnt, and this device."""
    run, learning, device = snapshot.run, snapshot.learning, snapshot.device
    lines = []
    if snapshot.stopped:
        lines.append(f"no peer runs here now; this was at {clock(snapshot.time, now)}")
    if run.id:
        size = f", {run.parameters / 1e6:.1f} M parameters ({run.size})" if run.parameters else ""
        lines.append(f"run {run.id}, round {run.round}{size}, {run.tokens:,} tokens")
    else:
        doing = "not in yet" if snapshot.door.asks else device.role
        lines.append(f"{device.name or 'this device'} is {doing}")
    lines += door_lines(snapshot)
    if learning.valid_bits_per_byte is not None and learning.valid_loss is not None:
        line = f"held-out {learning.valid_loss:.3f} ({learning.valid_bits_per_byte:.3f} bits/byte)"
        if learning.right_share is not None:
            line += f"; guesses the next piece right {100 * learning.right_share:.0f} % of the time"
        lines.append(line)
    if learning.best is not None:
        lines.append(f"best: round {learning.best.round} ({learning.best.bits_per_byte:.3f} bits/byte)")
    if device.is_resting:
        lines.append(f"training rests: {device.why}; it goes on {device.until}")
    up, down = snapshot.link.up, snapshot.link.down
    lines.append(f"link: {up / 1e3:,.0f} kB/s up, {down / 1e3:,.0f} kB/s down")
    return lines


def door_lines(snapshot: Snapshot) -> list[str]:
    """Return who can come into the run, and who asks to: this device, or others."""
    run, door, lines = snapshot.run, snapshot.door, []
    if door.is_ejected:
        lines.append("this device was ejected from the run, and trains a copy of its own until it is let in")
    if door.asks and door.number:
        lines.append(
            f"it asks to be let in, by number {door.number}: "
            f"on a device that is in, type python -m peer --admit {door.number}"
        )
    elif door.asks:
        lines.append(f"it asks to be let in; not yet: {door.problem}; it asks again")
    if lines or not run.id:
        return lines
    away = f"; away: {', '.join(run.away)}" if run.away else ""
    who = f"locked: only members take part{away}" if run.is_locked else "open: whoever is on this network can take part"
    return [
        f"the run is {who}",
        *(
            f"{knock.name} ({knock.host}) asks to come in; where it shows {knock.number}: "
            f"python -m peer --admit {knock.number}"
            for knock in snapshot.knocks
        ),
    ]


def state(peer: PeerNow, now: float) -> str:
    """Return what a device does, in words."""
    if peer.left_at is not None:
        return f"left at {clock(peer.left_at, now)}"
    if peer.paused:
        return f"rests: {peer.paused}"
    way = "" if peer.is_direct in (None, True) else ", not connected directly"
    return f"{ROLES.get(peer.role, peer.role)}{way}"


def clock(moment: float, now: float) -> str:
    """Return a time of this day, and of other days with the date."""
    if not moment:
        return ""
    form = "%H:%M:%S" if abs(now - moment) < 12 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(moment))
