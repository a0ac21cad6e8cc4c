"""The meaning of findings, without a socket: every fault is named, with what to do, the first to mend first."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minigpt.settings import Settings
from peer.doctor import examine
from peer.doctor.diagnosis import Answer, Check, Device, Findings, State, first_to_mend, judge
from peer.wire import PROTOCOL_VERSION, Notice, OtherVersion, Role

RUN_ID = "cellmind-0123456789ab"
OTHER_ID = "cellmind-ba9876543210"


def other_version(version: int) -> OtherVersion:
    address = f"/ip4/192.168.0.9/tcp/23457/p2p/{'Q' * 46}"
    return OtherVersion(version=version, peer="Q" * 46, name="desk", address=address)


def device(letter: str, **fields: Any) -> Device:
    given = {"name": f"device {letter}", "run": "cellmind", "heard": True, "answer": Answer.OPEN, **fields}
    return Device(f"/ip4/192.168.0.2{ord(letter) % 10}/tcp/23457/p2p/{letter * 46}", **given)


def notice(letter: str, run_id: str = RUN_ID) -> Notice:
    return Notice(peer=letter * 46, name=f"device {letter}", address="", role=Role.TRAINING, run_id=run_id, round=3)


FINE = Findings(
    host="192.168.0.10",
    interface="wlan0",
    interfaces={"127.0.0.1": "lo", "172.17.0.1": "docker0", "192.168.0.10": "wlan0"},
    port=23457,
    devices=[device("A")],
    met=frozenset({"A" * 46}),
    reachable=True,
    run="cellmind",
    run_id=RUN_ID,
    notices=[notice("A")],
    memory=(4_000_000_000, 1_000_000_000),
    disk=(4_000_000_000, 1_000_000_000),
)


def test_where_nothing_is_wrong_nothing_is_to_mend() -> None:
    checks = judge(FINE)
    assert [check.state for check in checks] == [State.FINE] * len(checks)
    assert first_to_mend(checks) is None


@pytest.mark.parametrize(
    ("fields", "what", "found", "mend"),
    [
        ({"host": "127.0.0.1", "interface": "lo"}, "address", "on no network", "--host 192.168.0.10"),
        ({"host": "127.0.0.1", "interface": "lo", "interfaces": {}}, "address", "on no network", "join the Wi-Fi"),
        ({"host": "169.254.3.4", "interface": "wlan0", "interfaces": {}}, "address", "no router gave", "reconnect"),
        ({"host": "172.17.0.1", "interface": "docker0"}, "address", "containers", "--host 192.168.0.10"),
        ({"host": "10.8.0.2", "interface": "wg0"}, "address", "VPN", "--host 192.168.0.10"),
        (
            {"host": "10.8.0.2", "interface": "tun0", "interfaces": {"10.8.0.2": "tun0"}},
            "address",
            "VPN",
            "turn the VPN",
        ),
        ({"port_is_taken": True}, "port", "another program listens on TCP 23457", "--port"),
        ({"devices": []}, "other devices", "nobody was heard", "--initial-peers"),
        ({"devices": [device("A", answer=Answer.ABSENT)]}, "other devices", "the Wi-Fi lets nothing", "isolation"),
        ({"devices": [device("A", answer=Answer.DROPPED)]}, "other devices", "lets no connection", "firewall of that"),
        ({"devices": [device("A", answer=Answer.REFUSED)]}, "other devices", "nothing listens", "--join there"),
        ({"devices": [device("A", heard=False, answer=Answer.ABSENT)]}, "other devices", "no answer", "that it runs"),
        ({"multicast_problem": "No such device"}, "multicast", "No such device", "--initial-peers"),
        ({"devices": [device("A", heard=False)]}, "multicast", "announcements do not arrive", "UDP 5353"),
        ({"reachable": False}, "connections to here", "TCP 23457", "firewall of this device"),
        ({"shut": frozenset({"A" * 46}), "run_id": ""}, "key", "device A (192.168.0.25) is locked", "--join, and let"),
        ({"shut": frozenset({"A" * 46}), "has_key": True}, "key", "the key here is another one", "an invite of theirs"),
        ({"shut": frozenset({"A" * 46})}, "key", "there is no key here", "start this device with an invite"),
        ({"clock": "this device's clock is 3 h ahead of the others'"}, "clock", "3 h ahead", "automatically"),
        ({"notices": []}, "version", "device A (192.168.0.25) says is not understood", "git pull"),
        ({"other_versions": [other_version(1)]}, "version", "desk runs an older version", "update desk: git pull"),
        (
            {"other_versions": [other_version(PROTOCOL_VERSION + 1)]},
            "version",
            "desk runs a newer version",
            "update this device: git pull",
        ),
        ({"run_id": OTHER_ID}, "run", f"device A trains {RUN_ID}", "without its checkpoints/cellmind"),
        ({"run_id": "", "notices": [notice("A"), notice("B", OTHER_ID)]}, "run", "device B", "checkpoints/cellmind"),
        ({"devices": [device("A", run="club")], "notices": []}, "run", "trains 'club'", "--run club"),
        ({"memory": (900_000_000, 1_000_000_000)}, "memory", "0.9 GB free, about 1.0 GB needed", "smaller model"),
        ({"disk": (900_000_000, 1_000_000_000)}, "disk", "0.9 GB free", "--checkpoints"),
    ],
)
def test_every_fault_is_named_with_what_to_do(fields: dict[str, Any], what: str, found: str, mend: str) -> None:
    worst = first_to_mend(judge(replace(FINE, **fields)))
    assert worst is not None
    assert worst.what == what
    assert found in worst.found
    assert mend in worst.mend


def test_of_several_faults_the_one_behind_the_others_is_first() -> None:
    checks = judge(replace(FINE, host="10.8.0.2", interface="tun0", devices=[], disk=(0, 1)))
    assert [check.what for check in checks if check.state is State.MEND] == ["address", "other devices", "disk"]


def test_what_cannot_be_known_is_not_called_a_fault() -> None:
    unknown = replace(FINE, interface="", interfaces={}, reachable=None, memory=(None, 1), disk=(None, 1), run_id="")
    assert first_to_mend(judge(unknown)) is None


def test_the_peer_that_runs_here_is_no_fault_though_it_holds_the_port() -> None:
    for name, called in (("desk", ", desk"), ("", "")):
        checks = judge(replace(FINE, port_is_taken=True, peer_here=device("B", name=name)))
        assert first_to_mend(checks) is None
        found = next(check.found for check in checks if check.what == "port")
        assert found == f"TCP 23457 is held by the peer that runs here{called}"


def test_a_bootstrap_node_speaks_no_version_and_is_no_other_run() -> None:
    alone_with_it = replace(FINE, devices=[device("B", run="")], met=frozenset({"B" * 46}), notices=[], run_id="")
    assert first_to_mend(judge(alone_with_it)) is None


def test_what_to_do_can_be_copied(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "orig_argv", [".venv/bin/python", "-m", "peer"])
    monkeypatch.setattr(examine, "find", lambda *_: None)
    monkeypatch.setattr(examine, "judge", lambda _: [Check("key", State.MEND, "none", "python -m peer --join")])
    assert not examine.examine(Settings(), "10.0.0.1", 23457, Path("checkpoints"), [])
    said = capsys.readouterr().out
    assert said.count("python -m peer --join") == said.count(".venv/bin/python -m peer --join") == 2
