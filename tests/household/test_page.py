"""The page of a real peer: it is there before the training, shows who comes and goes, and what its buttons do."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.devices import GentleDevice
from tests.host_process import HostProcess
from tests.household.test_swarm import signal_all
from tests.lan import Host, Lan, command_line, requirements_missing, wait_until

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]

START = 180.0  # seconds
ASK = """
import json, sys, urllib.request
url, path, body, token = sys.argv[1:]
headers = {"Origin": url, "X-CellMind": "1", "Content-Type": "application/json"}
headers |= {"Authorization": f"Bearer {token}"} if token else {}
request = urllib.request.Request(url + path, body.encode() or None, headers)
print(urllib.request.urlopen(request, timeout=80).read().decode())
"""
URL = "http://127.0.0.1:23480"


def ask(host: Host, path: str, url: str = URL, token: str = "", **button: Any) -> dict[str, Any]:
    """Return what the page answers to a browser on this host."""
    body = json.dumps(button) if button else ""
    answer = host.run(sys.executable, "-c", ASK, url, path, body, token)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def join(device: GentleDevice, *arguments: str) -> HostProcess:
    """Let a device take part with its page, as its owner does."""
    options = ("--join", "--go-on", "--share-of-time", "0.25", "--name", device.host.name)
    return device.start("peer", *options, *arguments)


def answered_by(host: Host, name: str) -> str:
    """Return what the model of another device says to whoever asks it on a host's page; "" while it has none."""
    path = f"/api/of/{row_of(host, name)['peer']}/v1/completions"
    asked = {"model": "best", "prompt": "오늘 저녁에", "max_tokens": 20, "stream": True}
    answer = host.run(sys.executable, "-c", ASK, URL, path, json.dumps(asked), "", timeout=START)
    events = [line.removeprefix("data: ") for line in answer.stdout.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]", answer.stdout + answer.stderr
    parts = [json.loads(event) for event in events]
    return "".join(part["choices"][0]["text"] for part in parts if "choices" in part)


def row_of(host: Host, name: str) -> dict[str, Any]:
    """Return the row of a device on a host's page; {} where there is none."""
    return next((row for row in ask(host, "/api/snapshot")["peers"] if row["name"] == name), {})


def test_the_page_shows_who_comes_and_goes_and_its_buttons_act(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        first, second = devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        for device in devices:
            device.prepare(round_zero)
        process = join(first)
        process.wait_for(f"^page: {URL}$", START)
        said_at = time.monotonic()
        assert ask(lan.hosts[0], "/api/snapshot")["device"] is not None, "it is there before there is a network"
        assert time.monotonic() - said_at < 30, "mostly the start of whoever asks, on a machine that does other things"
        other = join(second)
        process.wait_for("^host2 is here", START)
        assert wait_until(lambda: row_of(lan.hosts[0], "host2").get("left_at", 0) is None, START)
        assert first.wait_for_rounds(2, START)
        assert len(ask(lan.hosts[0], "/api/metrics")["round"]) >= 2
        assert wait_until(lambda: answered_by(lan.hosts[0], "host2"), START)

        other.kill()
        signal_all(lan.hosts[1], signal.SIGKILL)
        process.wait_for("^host2 left", START)
        assert wait_until(lambda: row_of(lan.hosts[0], "host2")["left_at"], START)
        marks = ask(lan.hosts[0], "/api/metrics")["marks"]
        assert ("left", "host2") in [(mark["what"], mark["name"]) for mark in marks]

        assert "rests" in ask(lan.hosts[0], "/api/do", what="pause")["said"]
        process.wait_for("^training rests: paused by its owner", START)
        shown = lan.hosts[0].run(*python(first), "--status", "--json")
        assert json.loads(shown.stdout)["device"]["is_paused"], shown.stderr
        assert "goes on" in ask(lan.hosts[0], "/api/do", what="go_on")["said"]
        process.wait_for("^training goes on", START)

        again = join(first, "--checkpoints", "others")  # a second peer on this device
        again.wait_for("^page: http://127.0.0.1:23481$", START)
        again.wait_for(" listens at ", START)
        os.killpg(again.pid, signal.SIGINT)
        assert again.wait(60) == 0
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
        assert wait_until(lambda: not lan.hosts[0].pids(), 30), "the page has gone with its peer"


def test_another_device_sees_the_page_by_its_link_and_not_without(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        device = GentleDevice(lan.hosts[0], tmp_path / "host1")
        device.prepare(round_zero)
        process = join(device)
        process.wait_for(" trains .* sequences of", START)
        assert lan.hosts[0].run(*python(device), "--page").stdout == f"page: {URL}\n"
        shown = lan.hosts[0].run(*python(device), "--page", "lan")
        link = re.search(r"(http://10\.77\.0\.11:\d+)/#token=(\S+)", shown.stdout)
        assert link is not None, shown.stdout + shown.stderr
        assert ask(lan.hosts[1], "/api/snapshot", link[1], link[2])["device"]["name"] == "host1"
        refused = lan.hosts[1].run(sys.executable, "-c", ASK, link[1], "/api/snapshot", "", "")
        assert refused.returncode and "401" in refused.stderr
        [page] = [pid for pid in lan.hosts[0].pids() if "-m peer.page " in command_line(pid)]
        os.kill(process.pid, signal.SIGKILL)
        assert wait_until(lambda: page not in lan.hosts[0].pids(), 30), "kill -9 of the peer ends the page"


def python(device: GentleDevice) -> tuple[str, ...]:
    """Return the beginning of a command line in a device's clone."""
    return ("env", "-C", str(device.folder), sys.executable, "-m", "peer")
