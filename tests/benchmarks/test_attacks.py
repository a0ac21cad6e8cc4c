"""benchmarks/attacks.py without its devices: no handler is left out, and what is counted is what it should be."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import peer

# isort: split

import torch
from hivemind.dht.protocol import DHTProtocol
from hivemind.p2p import ServicerBase

from benchmarks.attacker import HANDLERS
from benchmarks.attacks import ATTACKS
from benchmarks.outsider import ATTACKS as OUTSIDERS
from benchmarks.scene import Outcome, Scene, peers_in
from benchmarks.stranger import Outsider, requests
from peer.state.means import Mean
from tests.tiny import build_model, save_model, stand_in, train_tokenizer


def services() -> list[type[ServicerBase]]:
    """Return everything that answers others in a peer."""
    for module in pkgutil.walk_packages(peer.__path__, "peer."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, seen = [ServicerBase], []
    while found:
        kind = found.pop()
        found += kind.__subclasses__()
        seen += [kind] if kind.__module__.startswith("peer.") or kind is DHTProtocol else []
    return seen


def test_every_handler_is_called_by_the_outsider(tmp_path: Path) -> None:
    there = {name for kind in services() for name in dir(kind) if name.startswith("rpc_")}
    assert there == {handler.name for handler in HANDLERS}
    model = train_tokenizer(tmp_path)
    save_model(tmp_path / "checkpoints", model, build_model(390))
    outsider = Outsider(stand_in(), [], tmp_path, 1.0, [])
    for handler in HANDLERS:
        assert isinstance(requests(outsider)[handler.name], handler.request)


def test_only_means_of_several_peers_are_exchanges(tmp_path: Path) -> None:
    history = tmp_path / "host1" / "checkpoints" / "cellmind"
    payload = torch.zeros(8, dtype=torch.uint8)
    for number, peers in enumerate((["a", "b"], ["a"], ["a", "b"])):
        mean = Mean(f"{number}" * 64, dict.fromkeys(peers, 4), 1, payload)
        mean.save(history)
        os.utime(history / "history" / f"{mean.previous}.safetensors", (100.0 + number, 100.0 + number))
    assert [peers_in(path) for path in sorted(history.glob("history/*"))] == [2, 1, 2]
    (history / "history" / "torn.safetensors").write_bytes(b"\0\0")
    scene: Any = stand_in(devices=[stand_in(folder=tmp_path / "host1")])
    assert Scene.exchanges(scene, 100.0, 130.0) == 4, "two in half a minute"
    assert Scene.exchanges(scene, 101.0, 131.0) == 2, "the first was before"


@pytest.mark.parametrize(
    ("name", "outcome", "locked", "missed"),
    [
        ("read", Outcome(10, 9, 60.0, 60.0), False, ""),
        ("read", Outcome(10, 1, 60.0, 60.0), True, "got through"),
        ("read", Outcome(10, 0, 60.0, 58.0), True, "holds them up"),
        ("downloads", Outcome(10, 10, 60.0, 30.0), False, ""),
        ("ghosts", Outcome(10, 10, 60.0, 30.0), False, "holds them up"),
        ("ghosts", Outcome(10, 10, 60.0, 58.0), False, ""),
        ("ghosts", Outcome(10, 0, 0.0, 0.0), True, "holds them up"),
        ("group-of-64", Outcome(1, 1, 60.0, 60.0), True, ""),
        ("takeover", Outcome(20, 1), False, "got through"),
        ("takeover", Outcome(20, 0), False, ""),
    ],
)
def test_bars(name: str, outcome: Outcome, locked: bool, missed: str) -> None:
    assert ATTACKS[name].missed(outcome, locked=locked) == missed


def test_the_outsider_has_what_the_table_asks_for() -> None:
    others = {"our-code", "group-of-64", "ejected", "clocks", "takeover", "honest", "donors"}
    assert set(ATTACKS) - others <= set(OUTSIDERS)
