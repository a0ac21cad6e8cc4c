"""A test LAN on one Linux machine: hosts in network namespaces, joined by a bridge. Tests and benchmarks stand on it.

    with Lan(hosts=2, mbits=50) as lan:
        first, second = lan.hosts
        server = first.start("python", "-m", "http.server", cwd=tmp_path, log=tmp_path / "first.log")
        server.wait_for("Serving", timeout=5)
        second.cut()

It needs root and iproute2 (see `requirements_missing`). The bridge has a namespace of its own, so the machine's own
network never changes, and any number of LANs may stand side by side with the same addresses. Like a home without
internet, hosts reach each other and multicast, and nothing else. Every namespace carries its owner's pid and start
time in its name: what an owner killed with -9 left behind is removed by the next LAN, what lives is never touched.
Its own test: python -m pytest tests/household/test_lan.py
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tests.host_process import GONE, POLL, HostProcess

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
GRACE = 0.1  # seconds between SIGTERM and SIGKILL for what still runs when a LAN ends: nobody looks at it any more
QUEUE = "100ms"  # what a limited link holds back before it drops, as a home router does

T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count(1)
_living: list[Lan] = []


class LanError(RuntimeError):
    """The LAN could not be built or changed; the text is the failed command and what it said."""


def wait_until(condition: Callable[[], T], timeout: float) -> T:
    """The first true value of `condition()`, or its last value when `timeout` seconds are over."""
    deadline = time.monotonic() + timeout
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return value


@functools.cache
def requirements_missing() -> str | None:
    """Return the reason, for `pytest.mark.skipif`, why this machine cannot have a test LAN; None if it can."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"the command {tool} is missing (package iproute2)"
    try:
        with Lan(hosts=1, mbits=1) as lan:
            lan.hosts[0].block_multicast()
    except LanError as error:
        return str(error)
    return None


class Host:
    """One device on the LAN, with the interface eth0; made by `Lan.add_host`."""

    def __init__(self, name: str, address: str, namespace: str, switch: str):
        self.name = name  # also of the switch's port that the host's cable is plugged in
        self.address = address
        self.processes: list[HostProcess] = []
        self._namespace = namespace
        self._switch = switch

    def start(
        self,
        *command: str,
        cwd: Path,
        log: Path,
        env: Mapping[str, str] | None = None,
        cpus: Iterable[int] | None = None,
    ) -> HostProcess:
        """Start a program on this host: `env` on top of our environment, output appended to `log`, `cpus` to run on.

        It is killed with us, or with the thread that started it: start from a thread that lives as long.
        """
        with self.namespace_path.open() as namespace, log.open("ab") as output:
            log_start = output.tell()
            popen = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=entering(namespace.fileno(), cpus, os.getpid()),
            )
        return self.adopt(HostProcess(popen, log, log_start))

    def adopt(self, process: HostProcess) -> HostProcess:
        """Take in a process that was started on this host: it is ended with the LAN."""
        self.processes.append(process)
        return process

    @property
    def namespace_path(self) -> Path:
        return _path(self._namespace)

    def run(self, *command: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a short command on this host to its end; subprocess.TimeoutExpired if it takes too long."""
        with self.namespace_path.open() as namespace:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                start_new_session=True,
                preexec_fn=entering(namespace.fileno(), None, os.getpid()),
            )

    def script(self, program: str, path: Path) -> Path:
        """Write a script that runs a program on this host, for what starts programs by itself; return its path."""
        path.write_text(f'#!/bin/sh\nexec nsenter --net={self.namespace_path} {shlex.quote(program)} "$@"\n')
        path.chmod(0o755)
        return path

    def pids(self) -> list[int]:
        """The processes on this host."""
        return _pids([self._namespace])

    def limit(self, mbits: float | None) -> None:
        """Let this many Mbit/s (10^6 bits) through in each direction; None: as fast as the machine."""
        shape = ["noqueue"]
        if mbits is not None:
            burst = max(16_384, int(mbits * 1e6 / 8 * 0.004))  # bytes: some packets, or 4 ms of a fast link
            shape = ["tbf", "rate", f"{mbits * 1e6:.0f}bit", "burst", str(burst), "latency", QUEUE]
        _execute("tc", "-n", self._namespace, "qdisc", "replace", "dev", "eth0", "root", *shape)
        _execute("tc", "-n", self._switch, "qdisc", "replace", "dev", self.name, "root", *shape)

    def cut(self) -> None:
        """Pull the cable at the switch: the host keeps its address and routes, and hears and reaches nobody."""
        _execute("ip", "-n", self._switch, "link", "set", self.name, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        _execute("ip", "-n", self._switch, "link", "set", self.name, "up")

    def unplug(self) -> None:
        """Take the address away: the host has no network at all, and knows it."""
        _execute("ip", "-n", self._namespace, "address", "flush", "dev", "eth0")
        _execute("ip", "-n", self._namespace, "route", "flush", "table", "main")

    def move(self, address: str) -> None:
        """Give the host another address on the LAN, as a router may at any time."""
        self.unplug()
        self.address = address
        self._configure()

    def block_multicast(self) -> None:
        """Let no multicast or broadcast of IP reach or leave this host, as on a phone; ARP and unicast go on.

        A frame to more than one receiver has the lowest bit of its first byte set. The switch sends such frames of
        IPv4, and of IPv6 the UDP ones (the others are how IPv6 finds its neighbours), down the drain: unlike the
        kernel's drop action and nft, a redirect is there wherever veth is.
        """
        self.allow_multicast()
        to_many = ("match", "u16", "0x0100", "0x0100", "at", "-14")
        to_the_drain = ("action", "mirred", "egress", "redirect", "dev", "drain")
        for direction in ("ingress", "egress"):
            rule = ("tc", "-n", self._switch, "filter", "add", "dev", self.name, direction)
            _execute(*rule, "protocol", "ip", "u32", *to_many, *to_the_drain)
            _execute(
                *rule, "protocol", "ipv6", "u32", *to_many, "match", "ip6", "protocol", "17", "0xff", *to_the_drain
            )

    def isolate(self) -> None:
        """Keep this host from the others as a Wi-Fi with client isolation does: only what is for all gets through."""
        to_one = ("match", "u16", "0x0000", "0x0100", "at", "-14")
        to_the_drain = ("action", "mirred", "egress", "redirect", "dev", "drain")
        for direction in ("ingress", "egress"):
            for number, protocol in enumerate(("ip", "arp"), start=20):
                rule = ("tc", "-n", self._switch, "filter", "add", "dev", self.name, direction, "prio", str(number))
                _execute(*rule, "protocol", protocol, "u32", *to_one, *to_the_drain)

    def allow_multicast(self) -> None:
        for direction in ("ingress", "egress"):
            _execute("tc", "-n", self._switch, "filter", "del", "dev", self.name, direction)

    def block_incoming(self) -> None:
        """Let nobody open a connection to this host, as behind a firewall; those that it opens itself work both ways.

        The flags, byte 13 of the TCP header, of a packet that opens a connection have SYN (2) set and ACK (16) not.
        """
        self._block("10", "match", "ip", "protocol", "6", "0xff", "match", "u8", "0x02", "0x12", "at", "33")

    def block_udp(self) -> None:
        """Let no UDP reach this host, as behind a firewall that is open for TCP alone."""
        self._block("11", "match", "ip", "protocol", "17", "0xff")

    def _block(self, priority: str, *match: str) -> None:
        to_the_drain = ("action", "mirred", "egress", "redirect", "dev", "drain")
        rule = ("tc", "-n", self._switch, "filter", "add", "dev", self.name, "egress", "protocol", "ip")
        _execute(*rule, "prio", priority, "u32", *match, *to_the_drain)

    def bytes_sent(self) -> int:
        """Bytes, headers included, that have left by this host's interface since it was made."""
        return self._statistics()["tx"]["bytes"]

    def bytes_received(self) -> int:
        return self._statistics()["rx"]["bytes"]

    def _statistics(self) -> dict[str, dict[str, int]]:
        shown = _execute("ip", "-n", self._namespace, "-json", "-statistics", "link", "show", "dev", "eth0")
        statistics: dict[str, dict[str, int]] = json.loads(shown)[0]["stats64"]
        return statistics

    def _plug_in(self) -> None:
        _execute("ip", "netns", "add", self._namespace)
        cable = ("type", "veth", "peer", "name", self.name, "netns", self._switch)
        _execute("ip", "link", "add", "eth0", "netns", self._namespace, *cable)
        _execute("ip", "-n", self._switch, "link", "set", self.name, "master", "bridge", "up")
        _execute("tc", "-n", self._switch, "qdisc", "add", "dev", self.name, "clsact")  # holds the multicast rules
        _execute("ip", "-n", self._namespace, "link", "set", "lo", "up")
        _execute("ip", "-n", self._namespace, "link", "set", "eth0", "up")
        self._configure()

    def _configure(self) -> None:
        host = ("ip", "-n", self._namespace)
        _execute(*host, "address", "add", f"{self.address}/24", "broadcast", "+", "dev", "eth0")
        _execute(*host, "route", "add", "224.0.0.0/4", "dev", "eth0")


class Lan:
    """Hosts 10.77.0.11, 10.77.0.12, ... on one switch, each limited to `mbits`; a context manager that leaves nothing.

    Programs still running at the end get SIGTERM, then SIGKILL. That also holds when the owner is interrupted,
    terminated or fails; only after a kill -9 does it wait for the next LAN on this machine.
    """

    def __init__(self, hosts: int = 2, mbits: float | None = None):
        self.hosts: list[Host] = []
        self._first_hosts = hosts
        self._mbits = mbits
        self._owner = os.getpid()
        self._prefix = f"cellmind-{self._owner}-{_start_time(self._owner)}-{next(_serial)}-"
        self._switch = f"{self._prefix}switch"

    def __enter__(self) -> Lan:
        _remove([name for name in _namespaces() if _is_abandoned(name)])
        _clean_up_at_the_end_of_the_process()
        _living.append(self)
        try:
            _execute("ip", "netns", "add", self._switch)
            for arguments in (
                ("add", "bridge", "type", "bridge", "stp_state", "0", "mcast_snooping", "0"),
                ("set", "bridge", "up"),
                ("add", "drain", "type", "veth", "peer", "name", "sewer"),
                ("set", "drain", "up"),
                ("set", "sewer", "up"),
            ):
                _execute("ip", "-n", self._switch, "link", *arguments)
            for _ in range(self._first_hosts):
                self.add_host()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add_host(self) -> Host:
        number = len(self.hosts) + 1
        name = f"host{number}"
        host = Host(name, f"10.77.0.{10 + number}", f"{self._prefix}{name}", self._switch)
        host._plug_in()
        if self._mbits is not None:
            host.limit(self._mbits)
        self.hosts.append(host)
        return host

    def partition(self, hosts: Iterable[Host]) -> None:
        """Move these hosts to a second switch with no cable to the first: they reach each other and nobody else."""
        self.heal()
        for arguments in (
            ("add", "island", "type", "bridge", "stp_state", "0", "mcast_snooping", "0"),
            ("set", "island", "up"),
        ):
            _execute("ip", "-n", self._switch, "link", *arguments)
        for host in hosts:
            _execute("ip", "-n", self._switch, "link", "set", host.name, "master", "island")

    def heal(self) -> None:
        """Back to one switch for all. A host whose cable is cut stays without."""
        if "island" not in _execute("ip", "-n", self._switch, "-brief", "link", "show", "type", "bridge"):
            return
        for host in self.hosts:
            _execute("ip", "-n", self._switch, "link", "set", host.name, "master", "bridge")
        _execute("ip", "-n", self._switch, "link", "delete", "island")

    def _close(self) -> None:
        if os.getpid() != self._owner:  # in a fork of the owner, which got our exit handlers with everything else
            return
        ours = [name for name in _namespaces() if name.startswith(self._prefix)]
        pids = _pids(ours)
        _remove(ours)
        _remove_sockets(pids)
        processes = [process for host in self.hosts for process in host.processes]
        wait_until(lambda: not any(process.running() for process in processes), GONE)  # leaves no zombie
        if self in _living:
            _living.remove(self)


def _execute(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise LanError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def entering(namespace: int, cpus: Iterable[int] | None, parent: int) -> Callable[[], None]:
    """Return what a program's process is to do between fork and exec, so that no wrapper stands between it and us.

    :param namespace: file descriptor of its network namespace
    :param parent: pid of the process that forks, with which it is killed
    """
    cores = None if cpus is None else list(cpus)

    def enter() -> None:
        if _libc.setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        if cores is not None:
            os.sched_setaffinity(0, cores)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)  # a shell's background job hands on an ignored Ctrl+C
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # died before it could be watched
            os._exit(1)

    return enter


def _path(namespace: str) -> Path:
    return Path("/var/run/netns", namespace)


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _execute("ip", "netns", "list").splitlines()]


def _start_time(pid: int) -> int | None:
    """Return the process's start in clock ticks since boot, see proc(5); None if there is none, or only its zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])


def is_running(pid: int) -> bool:
    """A zombie that nobody has looked at yet is no process any more."""
    return _start_time(pid) is not None


def command_line(pid: int) -> str:
    """Return the command line of a living process; "" for one that has ended, be it while we look."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _is_abandoned(namespace: str) -> bool:
    owner = re.match(r"cellmind-(\d+)-(\d+)-\d+-", namespace)
    return owner is not None and _start_time(int(owner[1])) != int(owner[2])


def _pids(namespaces: list[str]) -> list[int]:
    pids = []
    for namespace in namespaces:
        with suppress(LanError):  # somebody else who tidies up has removed it
            pids += [int(pid) for pid in _execute("ip", "netns", "pids", namespace).split()]
    return pids


def _remove(namespaces: list[str]) -> None:
    """End every process in the namespaces, then remove these; interfaces and the bridge go with them."""
    kill = (signal.SIGKILL, GONE)
    for number, patience in ((signal.SIGTERM, GRACE), kill, kill):  # twice: for what was forked meanwhile
        for pid in _pids(namespaces):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a stopped process would sleep through SIGTERM
        if wait_until(lambda: not _pids(namespaces), patience):
            break
    for namespace in namespaces:
        try:
            _execute("ip", "netns", "delete", namespace)
        except LanError:
            if _path(namespace).exists():
                raise


def _remove_sockets(pids: Iterable[int]) -> None:
    """Remove the folders of sockets of peers that were killed; else the next peer that starts would."""
    for pid in pids:
        for folder in Path(tempfile.gettempdir()).glob(f"cellmind-{pid}-*"):
            shutil.rmtree(folder, ignore_errors=True)


def _clean_up_at_the_end_of_the_process() -> None:
    """Close what lives at exit; SIGTERM and SIGHUP are to end us as Ctrl+C does, which closes all else as well."""
    atexit.unregister(_close_all)
    atexit.register(_close_all)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nobody else has taken it over
            with suppress(ValueError):  # only the main thread may
                signal.signal(number, signal.default_int_handler)


def _close_all() -> None:
    for lan in list(_living):
        lan._close()
