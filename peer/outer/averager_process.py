"""The averager's process: a new one where the old one has died, or the network part under it, and its traffic."""

from __future__ import annotations

from peer.network.handle import Network
from peer.outer.averager import PseudoGradientAverager


class AveragerProcess:
    """The averager of now, and the traffic of all that there have been.

    :param averager: on the network part of now
    :param run_id: of the run that averagers after it are for as well
    """

    def __init__(self, network: Network, averager: PseudoGradientAverager, run_id: str):
        self.averager = averager
        self._network, self._run_id = network, run_id
        self._starts = network.starts  # of the network part that the averager is on
        self._traffic_before = (0, 0)  # bytes sent and received by averagers before this one

    @property
    def bytes_sent(self) -> int:
        """The bytes that this device has sent so far: in exchanges, and the network part's."""
        return self._traffic_before[0] + self.averager.bytes_sent + self._network.view.bytes_sent

    @property
    def bytes_received(self) -> int:
        """The bytes that this device has received so far: in exchanges, and the network part's."""
        return self._traffic_before[1] + self.averager.bytes_received + self._network.view.bytes_received

    def renew(self) -> bool:
        """Begin with a new averager where the old one or its network part is no more; return whether it was so."""
        if not self.averager.is_alive():
            self._network.start_again()  # p2pd would not let a new averager take the place of a dead one
        if self._starts == self._network.starts:
            return False
        sent, received = self._traffic_before
        self._traffic_before = sent + self.averager.bytes_sent, received + self.averager.bytes_received
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
