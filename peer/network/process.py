"""The DHT's process as the training process holds it: one object for each start."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from peer.network.address import Address
from peer.network.child_calls import Pending
from peer.network.door import Door
from peer.network.hivemind_patches import start_dht
from peer.network.node import call_node, start_node
from peer.network.signatures import Signer
from peer.wire_household import Household

GOODBYE_SECONDS = 2.0


class NodeProcess:
    """A DHT in a process of its own, with the node that lives beside it there. Raises NetworkError if none starts.

    :param identity: the file that the device's key is kept in
    """

    def __init__(self, host: str, port: int, identity: Path, run: str, door: Door):
        if identity.exists():
            Signer(identity)  # tells what is wrong with it
        self.dht = start_dht(host, port, identity, run, door)
        self.address = Address(host, port, self.dht.peer_id.to_base58())
        self._run = run
        self._asking = threading.Lock()  # the training loop and the control channel ask, each on a thread of its own

    @property
    def is_alive(self) -> bool:
        """Return whether the process lives."""
        return bool(self.dht.is_alive())

    def start_node(self, name: str, checkpoints: Path, known: list[str], household: Household | None) -> str | None:
        """Create the node and start it; return why zeroconf cannot be used here, if it cannot. Waits.

        :param name: what people call the device; "" for one that only looks, and does not announce itself
        :param known: multiaddresses to begin with
        :param household: that this device belongs to, if it does
        """
        start = partial(
            start_node,
            run=self._run,
            name=name,
            address=self.address,
            checkpoints=checkpoints,
            known=known,
            household=household,
        )
        return Pending[str | None](self.dht.run_coroutine(start, return_future=True), self.dht.is_alive).wait()

    def begin(self, method: str, **arguments: Any) -> Pending[Any]:
        """Begin to call a method of the node, one of `Node.methods`."""
        call = partial(call_node, method=method, arguments=arguments)
        with self._asking:
            return Pending(self.dht.run_coroutine(call, return_future=True), self.dht.is_alive)

    def call(self, method: str, **arguments: Any) -> Any:
        """Call a method of the node. Waits; raises what it fails with, and TransferError if the process ends."""
        return self.begin(method, **arguments).wait()

    def stop(self) -> None:
        """Have the node say goodbye, and end the process. Waits a few seconds at most."""
        with suppress(Exception):  # going away counts, not how
            goodbye = partial(call_node, method="stop", arguments={})
            self.dht.run_coroutine(goodbye, return_future=True).result(timeout=GOODBYE_SECONDS)
        self.end()

    def end(self) -> None:
        """End the process, if it lives."""
        self.dht.shutdown()
        if self.dht.is_alive():
            self.dht.kill()
            self.dht.join(1.0)  # leaves no zombie
