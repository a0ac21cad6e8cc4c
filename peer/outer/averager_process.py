"""The averager's process: a new one where the old one has died, or the network part under it, and its traffic."""

from __future__ import annotations

from peer.network.handle import Network
from peer.outer.averager import PseudoGradientAverager
from peer.outer.traffic import Traffic


class AveragerProcess:
    """The averager of now, and the traffic of all that there have been.

    :param averager: on the network part of now
    :param run_id: of the run that averagers after it are for as well
    """

    def __init__(self, network: Network, averager: PseudoGradientAverager, run_id: str):
        self.averager = averager
        self._network, self._run_id = network, run_id
        self._starts = network.starts  # of the network part that the averager is on
        self._traffic_before = Traffic()  # of averagers before this one

    @property
    def traffic(self) -> Traffic:
        """The traffic of this device so far: of exchanges, and of the network part."""
        view = self._network.view
        return self._traffic_before + self.averager.traffic + Traffic(view.bytes_sent, view.bytes_received)

    def renew(self) -> bool:
        """Begin with a new averager where the old one or its network part is no more; return whether it was so."""
        if not self.averager.is_alive():
            self._network.start_again()  # p2pd would not let a new averager take the place of a dead one
        if self._starts == self._network.starts:
            return False
        self._traffic_before += self.averager.traffic
        if self.averager.is_alive():
            self.averager.kill()  # its shutdown would wait for p2pd
        self.averager.join(1.0)  # leaves no zombie
        self.averager = PseudoGradientAverager(self.averager.size, self._network.dht, self._run_id)
        self._starts = self._network.starts
        return True

    def stop(self) -> None:
        """End the averager's process."""
        if self.averager.is_alive():
            self.averager.shutdown()
        if self.averager.is_alive():
            self.averager.kill()
