"""The test LAN itself: traffic, limits, cuts, multicast, and that nothing is left behind.

Run it with: python -m pytest tests/household/test_lan.py
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import lan as lan_module
from tests.host_process import HostProcess, LanTimeout
from tests.lan import Host, Lan, is_running, requirements_missing, wait_until

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=str(requirements_missing())),
]

ROOT = Path(__file__).parents[2]
PORT = 7000
MEGABYTE = 1_000_000

# Sends argv[1] bytes to everyone who connects.
SERVER = f"""
import socket, sys
server = socket.create_server(("0.0.0.0", {PORT}))
print("ready", flush=True)
while True:
    connection = server.accept()[0]
    with connection:
        connection.sendall(bytes(int(sys.argv[1])))
"""

# Prints how many bytes per second come from argv[1], from the first question for them to the last one.
CLIENT = f"""
import socket, sys, time
count, start = 0, time.monotonic()
with socket.create_connection((sys.argv[1], {PORT}), timeout=1) as connection:
    connection.settimeout(20)
    while received := connection.recv(65536):
        count += len(received)
print(count / (time.monotonic() - start))
"""

ANNOUNCER = """
import signal, socket, sys
from zeroconf import ServiceInfo, Zeroconf
address = sys.argv[1]
service = ServiceInfo("_test._tcp.local.", "here._test._tcp.local.", 7000, addresses=[socket.inet_aton(address)])
zeroconf = Zeroconf(interfaces=[address])
zeroconf.register_service(service)
print("announced", flush=True)
signal.pause()
"""

# Prints whether somebody on the network of address argv[1] announced the service within argv[2] seconds.
FINDER = """
import sys, threading
from zeroconf import ServiceBrowser, Zeroconf
found = threading.Event()
zeroconf = Zeroconf(interfaces=[sys.argv[1]])
browser = ServiceBrowser(zeroconf, "_test._tcp.local.", handlers=[lambda **_: found.set()])
print("found" if found.wait(float(sys.argv[2])) else "nothing", flush=True)
"""

# Owns a LAN with a process that has a child, prints their pids and waits for its end.
OWNER = """
import pathlib, signal, sys
from tests.lan import Lan
log = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # also when the tests run where Ctrl+C is ignored
with Lan(hosts=1) as lan:
    process = lan.hosts[0].start("sh", "-c", "sleep 600 & echo child $!; wait", cwd=log.parent, log=log)
    print(process.pid, process.wait_for(r"child (\\d+)$", 5)[1], flush=True)
    signal.pause()
"""


def start(host: Host, folder: Path, script: str, *arguments: str) -> HostProcess:
    return host.start(sys.executable, "-c", script, *arguments, cwd=folder, log=folder / f"{host.name}.log")


def serve(host: Host, folder: Path, count: int) -> HostProcess:
    server = start(host, folder, SERVER, str(count))
    server.wait_for("ready", timeout=60)
    return server


def reaches(host: Host, other: Host) -> bool:
    return host.run(sys.executable, "-c", CLIENT, other.address).returncode == 0


def mbits_from(host: Host, other: Host) -> float:
    client = host.run(sys.executable, "-c", CLIENT, other.address)
    assert client.returncode == 0, client.stderr
    return float(client.stdout) * 8 / 1e6


def finds(host: Host, seconds: float) -> str:
    return host.run(sys.executable, "-c", FINDER, host.address, str(seconds)).stdout.strip()


def namespaces_of(pid: int) -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.startswith(f"cellmind-{pid}-")]


def interfaces_of_this_machine() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def start_owner(folder: Path) -> tuple[subprocess.Popen[str], int, int]:
    """An owner of a LAN in a process of its own, the pid of a program on its host and that of the program's child."""
    command = [sys.executable, "-c", OWNER, str(folder / "owner.log")]
    owner = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout as lines:
        program, child = lines.readline().split()
    return owner, int(program), int(child)


def test_hosts_reach_each_other_unless_cut(tmp_path: Path) -> None:
    interfaces = interfaces_of_this_machine()
    with Lan(hosts=2) as lan:
        first, second = lan.hosts
        third = lan.add_host()
        assert interfaces_of_this_machine() == interfaces
        server = serve(first, tmp_path, count=1)
        assert reaches(second, first) and reaches(third, first)
        routes = first.run("ip", "route").stdout

        first.cut()
        assert not reaches(second, first)
        assert server.running()
        first.mend()
        assert wait_until(lambda: reaches(second, first), timeout=60)
        assert first.run("ip", "route").stdout == routes
        assert "default" not in routes


def test_two_halves_of_a_partition_reach_their_own_until_it_heals(tmp_path: Path) -> None:
    with Lan(hosts=3) as lan:
        first, second, third = lan.hosts
        for host in (first, third):
            serve(host, tmp_path, count=1)
        lan.partition([first, second])
        assert reaches(second, first)
        assert not reaches(third, first) and not reaches(second, third)
        lan.partition([second, third])
        assert reaches(second, third) and not reaches(second, first)
        third.cut()
        lan.heal()
        assert wait_until(lambda: reaches(second, first), timeout=60)
        assert not reaches(second, third), "healing mends no cable"
        third.mend()
        assert wait_until(lambda: reaches(second, third), timeout=60)
        lan.heal()  # of nothing


def test_limit_holds_in_both_directions(tmp_path: Path) -> None:
    with Lan(hosts=2, mbits=20) as lan:
        limited, free = lan.hosts
        free.limit(None)
        serve(free, tmp_path, count=2 * MEGABYTE)
        serve(limited, tmp_path, count=2 * MEGABYTE)
        received, sent = limited.bytes_received(), limited.bytes_sent()

        assert 4 < mbits_from(limited, free) < 23, "a busy machine is slower"
        assert 2.0 < (limited.bytes_received() - received) / MEGABYTE < 2.4
        assert 4 < mbits_from(free, limited) < 23
        assert 2.0 < (limited.bytes_sent() - sent) / MEGABYTE < 2.4

        limited.cut()
        limited.mend()
        assert wait_until(lambda: reaches(limited, free), timeout=60)
        assert mbits_from(limited, free) < 23, "a cut must not take the limit away"
        limited.limit(None)
        assert wait_until(lambda: mbits_from(limited, free) > 60, timeout=60)


def test_zeroconf_finds_nothing_through_blocked_multicast(tmp_path: Path) -> None:
    with Lan(hosts=2) as lan:
        announcing, searching = lan.hosts
        start(announcing, tmp_path, ANNOUNCER, announcing.address).wait_for("announced", timeout=60)
        serve(announcing, tmp_path, count=1)
        assert finds(searching, seconds=60) == "found"
        for blocked in lan.hosts:
            blocked.block_multicast()
            for host in lan.hosts:
                host.run("ip", "neighbour", "flush", "dev", "eth0")  # ARP must still work
            assert finds(searching, seconds=1.5) == "nothing"
            assert reaches(searching, announcing)
            blocked.allow_multicast()
            assert finds(searching, seconds=60) == "found"


def test_a_host_that_lets_nothing_in_still_reaches_others(tmp_path: Path) -> None:
    with Lan(hosts=2) as lan:
        guarded, other = lan.hosts
        start(guarded, tmp_path, ANNOUNCER, guarded.address).wait_for("announced", timeout=60)
        for host in lan.hosts:
            serve(host, tmp_path, count=1)
        guarded.block_incoming()
        assert not reaches(other, guarded)
        assert reaches(guarded, other)
        assert finds(other, seconds=60) == "found", "UDP is not TCP"
        guarded.block_udp()
        assert finds(other, seconds=1.5) == "nothing"
        assert reaches(guarded, other)


def test_process_is_the_program_itself(tmp_path: Path) -> None:
    with Lan(hosts=1) as lan:
        host, core = lan.hosts[0], min(os.sched_getaffinity(0))
        script = "import os; print(os.getpid(), os.environ['GREETING'], os.sched_getaffinity(0), flush=True); input()"
        log = tmp_path / "log"
        ended = host.start(sys.executable, "-c", script, cwd=tmp_path, log=log, env={"GREETING": "hi"}, cpus=[core])
        assert ended.wait_for(r"^(\d+) hi \{(\d+)\}$", timeout=60).groups() == (str(ended.pid), str(core))
        with pytest.raises(LanTimeout, match=r"(?s)exit code 1 before 'never' appeared.*EOFError"):
            ended.wait_for("never", timeout=60)

        sleeper = host.start("sleep", "600", cwd=tmp_path, log=log)
        assert sleeper.output() == ""  # the log keeps what the first process wrote, the second has said nothing
        with pytest.raises(LanTimeout, match="did not write 'hi'"):
            sleeper.wait_for("hi", timeout=0.1)
        with pytest.raises(LanTimeout, match="still runs"):
            sleeper.wait(timeout=0.1)
        sleeper.kill()
        assert sleeper.wait(timeout=30) == -signal.SIGKILL


def test_ctrl_c_reaches_a_program_though_the_test_runner_ignores_it(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Lan(hosts=1) as lan:
            sleeper = lan.hosts[0].start("sleep", "600", cwd=tmp_path, log=tmp_path / "log")
            sleeper.signal(signal.SIGINT)
            assert sleeper.wait(timeout=30) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    pids: list[int] = []
    with pytest.raises(ZeroDivisionError), Lan(hosts=2) as lan:
        host = lan.hosts[0]
        stubborn = "trap '' TERM; sleep 600 & echo child $!; while true; do wait; done"
        for command in (("sh", "-c", stubborn), ("sleep", "600")):
            process = host.start(*command, cwd=tmp_path, log=tmp_path / "log")
            pids.append(process.pid)
        process.signal(signal.SIGSTOP)
        grandchild = host.processes[0].wait_for(r"child (\d+)$", timeout=30)
        pids.append(int(grandchild[1]))
        assert len(namespaces_of(os.getpid())) == 3 and all(map(is_running, pids))
        _ = 1 / 0
    assert namespaces_of(os.getpid()) == []
    assert not any(map(is_running, pids))
    assert not Path(f"/proc/{pids[0]}").exists(), "a zombie is left"


def test_nothing_is_left_when_building_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lan, "add_host", lambda lan: lan_module._execute("ip", "netns", "nonsense"))
    with pytest.raises(lan_module.LanError, match="nonsense"), Lan(hosts=1):
        pytest.fail("a LAN without its hosts")
    assert namespaces_of(os.getpid()) == []


def test_a_killed_owner_is_cleaned_up_after_and_a_living_one_left_alone(tmp_path: Path) -> None:
    owner, program, child = start_owner(tmp_path)
    try:
        with Lan(hosts=1) as lan:  # the same addresses at the same time
            assert lan.hosts[0].address == "10.77.0.11"
            assert len(namespaces_of(owner.pid)) == 2 and is_running(program) and is_running(child)
    finally:
        owner.kill()
        owner.wait(30)
    assert wait_until(lambda: not is_running(program), timeout=30), "a program outlived the one who started it"
    assert len(namespaces_of(owner.pid)) == 2
    with Lan(hosts=1):
        assert namespaces_of(owner.pid) == []
        assert not is_running(child)


def test_a_terminated_owner_cleans_up(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        owner, program, child = start_owner(tmp_path)
        owner.send_signal(number)
        assert owner.wait(30) == -signal.SIGINT, "either way as by Ctrl+C, which closes what is open"
        assert namespaces_of(owner.pid) == []
        assert not is_running(program) and not is_running(child)
