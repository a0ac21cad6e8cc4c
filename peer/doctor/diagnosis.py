"""Judge what keeps devices from finding each other: plain findings in, plain words out.

`peer/doctor/examine.py` finds it. Checks stand in the order in which they are to be mended: what comes first may be
the cause of what follows.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from peer.network.address import Address
from peer.wire import PROTOCOL_VERSION, Notice, OtherVersion, Role

CONTAINERS = ("docker", "br-", "virbr", "veth", "cni", "podman", "lxc", "lxd", "vmnet", "vboxnet")
TUNNELS = ("tun", "tap", "wg", "ppp", "utun", "tailscale", "zt", "nordlynx", "proton", "ipsec", "gpd")


class Answer(enum.Enum):
    """The outcome of a TCP connection to a peer's port."""

    OPEN = "open"
    REFUSED = "refused"  # the device is there, and nothing listens
    DROPPED = "dropped"  # the device is there, and lets no connection in
    ABSENT = "absent"  # nothing comes back at all


@dataclass(frozen=True)
class Device:
    """A peer that was heard of."""

    address: str  # multiaddr
    name: str = ""
    run: str = ""
    heard: bool = False  # its announcement, by multicast; else from an earlier start or typed
    answer: Answer = Answer.ABSENT

    @property
    def peer(self) -> str:
        return Address.parse(self.address).peer

    def __str__(self) -> str:
        host = Address.parse(self.address).host
        return f"{self.name} ({host})" if self.name else host


@dataclass(frozen=True)
class Findings:
    """The device and its network as they were found. Memory and disk in bytes."""

    host: str  # our address, as devices are told of it
    interface: str = ""  # that has it, "" where the system lets nobody look
    interfaces: dict[str, str] = field(default_factory=dict)  # all of them: address -> interface
    port: int = 0
    port_is_taken: bool = False
    peer_here: Device | None = None  # that has the port: it runs on this device
    multicast_problem: str | None = None  # why it cannot be used at all
    devices: list[Device] = field(default_factory=list)
    met: frozenset[str] = frozenset()  # peer ids of those we are connected to
    reachable: bool | None = None  # whether others can open a connection to us; None: nobody has tried
    clock: str | None = None  # how our clock differs from the others', if it does
    shut: frozenset[str] = frozenset()  # peer ids of those in a locked run, of which we have no key, or an old one
    has_key: bool = False  # of a locked run, in checkpoints/
    run: str = ""
    run_id: str = ""  # of the run in checkpoints/, "" for none
    notices: list[Notice] = field(default_factory=list)  # of the run's name
    other_versions: list[OtherVersion] = field(default_factory=list)  # who does not understand this device
    memory: tuple[int | None, int] = (None, 0)  # available, needed
    disk: tuple[int | None, int] = (None, 0)


class State(enum.StrEnum):
    FINE = "fine"
    MEND = "mend"
    UNKNOWN = "?"


@dataclass(frozen=True)
class Check:
    what: str
    state: State
    found: str
    mend: str = ""  # what to do


def judge(found: Findings) -> list[Check]:
    """All checks; those whose state is MEND say what to do."""
    checks = (address, port, neighbours, multicast, incoming, keys, clocks, versions, runs, memory, disk)
    return [check(found) for check in checks]


def first_to_mend(checks: Iterable[Check]) -> Check | None:
    return next((check for check in checks if check.state is State.MEND), None)


def address(found: Findings) -> Check:
    ip, what = IPv4Address(found.host), "address"
    where = f"{found.host} ({found.interface})" if found.interface else found.host
    others = [
        address
        for address, interface in found.interfaces.items()
        if address != found.host and not interface.startswith((*CONTAINERS, *TUNNELS)) and is_of_a_lan(address)
    ]
    use = f"start with --host {others[0]}" if others else ""
    if ip.is_loopback:
        return Check(what, State.MEND, "this device is on no network", use or "join the Wi-Fi the others are on")
    if ip.is_link_local:
        return Check(what, State.MEND, f"{where}: no router gave an address", use or "reconnect, or restart the router")
    if found.interface.startswith(CONTAINERS):
        return Check(what, State.MEND, f"{where} is a network of containers (docker)", use or "join the Wi-Fi")
    if found.interface.startswith(TUNNELS):
        return Check(what, State.MEND, f"{where} is a VPN", use or "turn the VPN off")
    return Check(what, State.FINE, where)


def is_of_a_lan(address: str) -> bool:
    ip = IPv4Address(address)
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified)


def port(found: Findings) -> Check:
    if found.peer_here is not None:
        name = f", {found.peer_here.name}" if found.peer_here.name else ""
        return Check("port", State.FINE, f"TCP {found.port} is held by the peer that runs here{name}")
    if found.port_is_taken:
        mend = "end that program, or choose another port with --port and let firewalls pass it"
        return Check("port", State.MEND, f"another program listens on TCP {found.port}", mend)
    return Check("port", State.FINE, f"TCP {found.port} can be listened on")


def neighbours(found: Findings) -> Check:
    """Check that packets get through to anybody."""
    what, devices = "other devices", found.devices
    if not devices:
        mend = "start python -m peer --join on another device, then this again with --initial-peers and its address"
        return Check(what, State.MEND, "nobody was heard, and nobody is known from earlier", mend)
    reached = [device for device in devices if device.answer is Answer.OPEN]
    if reached:
        return Check(what, State.FINE, f"reached {named(reached)}")
    for device in devices:
        if device.answer is Answer.REFUSED:
            port = Address.parse(device.address).port
            mend = f"start python -m peer --join there; if it runs, let its firewall pass TCP {port}"
            return Check(what, State.MEND, f"{device} is there, and nothing listens on its TCP {port}", mend)
        if device.answer is Answer.DROPPED:
            port = Address.parse(device.address).port
            mend = f"let the firewall of that device pass TCP {port} and UDP 5353"
            return Check(what, State.MEND, f"{device} lets no connection to its TCP {port} in", mend)
    if any(device.heard for device in devices):
        heard = named(device for device in devices if device.heard)
        mend = (
            'turn off "client isolation" (AP isolation) in the router, or leave its guest network; '
            "if it is off, let the firewalls of those devices pass TCP 23457"
        )
        return Check(what, State.MEND, f"heard {heard}, but the Wi-Fi lets nothing else through", mend)
    mend = "see that it runs, on this network and with this address; on one with client isolation, turn that off"
    return Check(what, State.MEND, f"no answer from {named(devices)}", mend)


def named(devices: Iterable[Device]) -> str:
    return ", ".join(map(str, devices))


def multicast(found: Findings) -> Check:
    what = "multicast"
    typed = "--initial-peers with the address that a peer prints"
    if found.multicast_problem:
        return Check(what, State.MEND, f"cannot be used here: {found.multicast_problem}", f"start with {typed}")
    heard = [device for device in found.devices if device.heard]
    if heard:
        return Check(what, State.FINE, f"heard {named(heard)}")
    if any(device.answer is Answer.OPEN for device in found.devices):
        mend = f"let firewalls pass UDP 5353, and the router multicast; or start with {typed}"
        return Check(what, State.MEND, "the others can be reached, and their announcements do not arrive", mend)
    return Check(what, State.UNKNOWN, "there was nobody to hear")


def incoming(found: Findings) -> Check:
    what = "connections to here"
    if found.reachable is None:
        return Check(what, State.UNKNOWN, "nobody has tried to open one")
    if not found.reachable:
        return Check(
            *(what, State.MEND, f"the others cannot open one to TCP {found.port}"),
            f"let the firewall of this device pass TCP {found.port} and UDP 5353",
        )
    return Check(what, State.FINE, "the others can open them")


def keys(found: Findings) -> Check:
    what = "key"
    if found.shut:
        shut = named(device for device in found.devices if device.peer in found.shut)
        key = "the key here is another one" if found.has_key else "there is no key here"
        mend = (
            "start python -m peer --join, and let somebody who is in type the number that it shows; "
            "or take an invite of theirs (python -m peer --invite)"
        )
        if found.has_key or found.run_id:  # it goes on with what it has, and does not knock
            mend = (
                "if it is yours, start this device with an invite of theirs, which python -m peer --invite shows there"
            )
        return Check(what, State.MEND, f"the run of {shut} is locked, and {key}", mend)
    if found.has_key and not found.met:
        return Check(what, State.UNKNOWN, "this run is locked, and nobody was there to compare keys with")
    return Check(what, State.FINE, "fits the others'" if found.has_key else "none is needed")


def clocks(found: Findings) -> Check:
    if found.clock:
        return Check("clock", State.MEND, found.clock, "let both devices set date and time automatically")
    state = State.FINE if found.met else State.UNKNOWN
    return Check("clock", state, "as the others'" if found.met else "there was nobody to compare with")


def versions(found: Findings) -> Check:
    speak = {notice.peer for notice in found.notices}
    if found.other_versions:
        other = found.other_versions[0]
        older, mend = other.version < PROTOCOL_VERSION, "git pull, and start again"
        text = f"{other.name} runs {'an older' if older else 'a newer'} version of CellMind"
        return Check("version", State.MEND, text, f"update {other.name if older else 'this device'}: {mend}")
    strange = [device for device in found.devices if device.run == found.run and device.peer in found.met - speak]
    if strange:
        mend = "update both: git pull, and start again"
        return Check("version", State.MEND, f"what {named(strange)} says is not understood here", mend)
    if not speak:
        return Check("version", State.UNKNOWN, "nobody said anything of this run")
    return Check("version", State.FINE, "as the others'")


def runs(found: Findings) -> Check:
    training = [notice for notice in found.notices if notice.role is Role.TRAINING]
    elsewhere = {device.run: device for device in found.devices if device.run}
    if found.run_id:
        for notice in training:
            if notice.run_id != found.run_id:
                mend = f"to train together, one of the two starts without its checkpoints/{found.run}"
                text = f"{notice.name} trains {notice.run_id}, and the one in checkpoints/ here is {found.run_id}"
                return Check("run", State.MEND, text, mend)
    if len({notice.run_id for notice in training}) > 1:
        text = "; ".join(f"{notice.name} trains {notice.run_id}" for notice in training)
        return Check("run", State.MEND, text, f"all but one start without their checkpoints/{found.run}")
    if elsewhere and found.run not in elsewhere:
        name, device = next(iter(elsewhere.items()))
        return Check(
            "run", State.MEND, f"{device} trains '{name}', and this is '{found.run}'", f"start with --run {name}"
        )
    if not training:
        return Check("run", State.UNKNOWN, f"nobody trains '{found.run}'")
    return Check("run", State.FINE, f"{training[0].run_id}, round {max(notice.round for notice in training)}")


def memory(found: Findings) -> Check:
    return enough("memory", found.memory, "end other programs, or found a run with a smaller model (--size small)")


def disk(found: Findings) -> Check:
    return enough("disk", found.disk, "make room, or start with --checkpoints and a folder on another disk")


def enough(what: str, amount: tuple[int | None, int], mend: str) -> Check:
    available, needed = amount
    if available is None:
        return Check(what, State.UNKNOWN, "the system does not say how much is free")
    text = f"{available / 1e9:.1f} GB free, about {needed / 1e9:.1f} GB needed"
    return Check(what, State.MEND, text, mend) if available < needed else Check(what, State.FINE, text)
