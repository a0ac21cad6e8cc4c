"""A run as a file to keep and to send: what the page shows when one looks back, without names unless asked for.

The metrics of several devices, or of nights in several folders, are put together round by round.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from data.atomic import write_whole
from minigpt.settings import SHARED
from peer.page.control import NotDone
from peer.page.json_lines import JsonLines
from peer.page.models import DeviceNow, LinkNow, Metrics, PeerNow, Snapshot
from peer.page.self_contained import Kept, self_contained
from peer.page.snapshot import read_snapshot
from peer.page.sources import METRICS, Sources
from peer.page.table import MetricsTable

POINTS = 2000  # of the curves
MOST_SAMPLES = 60  # rounds of them


def write_report(path: Path, folders: Sequence[Path], with_names: bool) -> None:
    """Write a report of the run in these checkpoints folders, the first of which is this device's.

    Raises NotDone where there is none, in the others as well, and OSError.

    :param with_names: call devices by their names
    """
    sources = Sources(folders[0])
    if sources.snapshot.problem:
        raise NotDone(sources.snapshot.problem)
    sources.look()
    snapshot = sources.snapshot
    if not snapshot.run.id:
        raise NotDone(f"no run was trained in {folders[0]} yet")
    metrics = sources.metrics(POINTS)
    for folder in folders[1:]:
        if next(rows(folder / snapshot.run.name / METRICS, snapshot.run.id), None) is None:
            raise NotDone(
                f"{folder} has no rounds of run {snapshot.run.id}: name the checkpoints folder of a device in it"
            )
    if len(folders) > 1:
        metrics = together(snapshot, folders).model_copy(update={"marks": metrics.marks})
    samples = sources.samples_since(0).samples
    if not with_names:
        names = masked_names(snapshot, metrics)
        snapshot, metrics = without_names(snapshot, metrics, names)
    step = -(-len(samples) // MOST_SAMPLES) or 1
    thinned = samples[::-step][::-1]  # the newest one is among them
    kept = Kept(
        snapshot=looking_back(snapshot, metrics),
        metrics=metrics,
        samples=thinned,
        settings=settings_of(folders[0], snapshot),
    )
    write_whole(path, self_contained(kept), synced=False)


def together(snapshot: Snapshot, folders: Sequence[Path]) -> Metrics:
    """Return the rounds of one run as several devices have written them down: what one lacks comes from another."""
    rounds: dict[int, dict[str, Any]] = {}
    for folder in folders:
        name = read_snapshot(folder).device.name or folder.name
        for entry in rows(folder / snapshot.run.name / METRICS, snapshot.run.id):
            known = rounds.setdefault(int(entry["round"]), entry)
            speeds = {**entry.get("speeds", {}), name: entry.get("tokens_per_second")}
            rounds[int(entry["round"])] = {**entry, **known, "speeds": {**known.get("speeds", {}), **speeds}}
    table = MetricsTable(snapshot.run.id)
    for _, entry in sorted(rounds.items()):
        table.add(entry, snapshot.device.name)
    return table.thinned(POINTS)


def rows(path: Path, run_id: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of a run in a metrics.jsonl that say which round they are of."""
    for entry in JsonLines(path).read():
        if entry.get("run_id") == run_id and isinstance(entry.get("round"), int):
            yield entry


def masked_names(snapshot: Snapshot, metrics: Metrics) -> Mapping[str, str]:
    """Return name -> what stands for it: this device is the first one."""
    names = [peer.name for peer in snapshot.peers]
    names += [*metrics.tokens_per_second, *(mark.name for mark in metrics.marks)]
    return {name: f"device {number}" for number, name in enumerate(dict.fromkeys(names), start=1)}


def without_names(snapshot: Snapshot, metrics: Metrics, names: Mapping[str, str]) -> tuple[Snapshot, Metrics]:
    """Return both with no name of a device, no address, no peer id and no name of a file."""
    peers = [peer.model_copy(update={"name": names[peer.name], "peer": ""}) for peer in snapshot.peers]
    own = names.get(snapshot.device.name, "device 1")
    device = snapshot.device.model_copy(update={"name": own, "address": ""})
    speeds = {names[name]: column for name, column in metrics.tokens_per_second.items()}
    marks = [mark.model_copy(update={"name": names[mark.name]}) for mark in metrics.marks]
    return (
        snapshot.model_copy(update={"device": device, "peers": peers, "texts": [], "knocks": []}),
        metrics.model_copy(update={"tokens_per_second": speeds, "marks": marks}),
    )


def looking_back(snapshot: Snapshot, metrics: Metrics) -> Snapshot:
    """Return the snapshot with the share of each device in all that was trained, without what was true then alone."""
    trained = tokens_by_device(metrics)
    together = sum(trained.values())
    peers = [
        PeerNow(name=peer.name, kind=peer.kind, share=trained.get(peer.name, 0.0) / together if together else None)
        for peer in snapshot.peers
    ]
    known = {peer.name for peer in peers}
    peers += [PeerNow(name=name, share=tokens / together) for name, tokens in trained.items() if name not in known]
    device = DeviceNow(name=snapshot.device.name, kind=snapshot.device.kind, role=snapshot.device.role)
    return snapshot.after_the_end().model_copy(
        update={"device": device, "peers": peers, "link": LinkNow(), "texts": []}
    )


def tokens_by_device(metrics: Metrics) -> dict[str, float]:
    """Return how many tokens each device has trained, about: its speed in each stretch, for as long as that took."""
    seconds = [max(0.0, (later or 0.0) - (earlier or 0.0)) for earlier, later in pairwise(metrics.time)]
    seconds = [seconds[0] if seconds else 1.0, *seconds]  # how long the first one took is not known
    return {
        name: sum((speed or 0.0) * length for speed, length in zip(column, seconds))
        for name, column in metrics.tokens_per_second.items()
    }


def settings_of(checkpoints: Path, snapshot: Snapshot) -> dict[str, Any]:
    """Return the settings that the run's devices share, by dotted name; none where no checkpoint has them."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        document = json.loads((checkpoints / "latest" / "settings.json").read_text())
        found = {}
        for name in SHARED:
            section: Any = document
            for key in name.split("."):
                section = section[key]
            found[name] = section
        if found["swarm.run"] == snapshot.run.name:
            return found
    return {}
