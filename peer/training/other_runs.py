"""Devices that train here and not with us, which is said with the reason: they are in another run, or out of reach."""

from __future__ import annotations

from minigpt.settings import Settings, SettingsError, differences, parse_settings
from peer.device.display import Display
from peer.network.child_calls import Pending
from peer.network.handle import Network
from peer.state.fetching import TransferError
from peer.wire import Notice, Role


class OtherRuns:
    """Says how another run of the same name differs from ours, and where firewalls keep our own from exchanging.

    Runs are never mixed.
    """

    def __init__(self, network: Network, settings: Settings, run_id: str, display: Display):
        self._network, self._settings, self._run_id, self._display = network, settings, run_id, display
        self._asked: dict[str, Pending[bytes] | None] = {}  # by run id; None once it has been said
        self._said_out_of_reach = False

    def update(self, notices: list[Notice]) -> None:
        """Take in who is here. Settings of another run are fetched in the background, and compared when they come."""
        training = [notice for notice in notices if notice.role == Role.TRAINING and notice.run_id == self._run_id]
        reachable = self._network.view.reachable or any(notice.reachable for notice in training)
        if training and not reachable and not self._said_out_of_reach:
            self._said_out_of_reach = True
            names = ", ".join(notice.name for notice in training)
            port = self._network.address.port
            self._display.note(
                f"nothing can be exchanged with {names}: a firewall lets no connection in there, and none here. "
                f"Let TCP port {port} in on one device"
            )
        for notice in notices:
            if notice.role != Role.TRAINING or notice.run_id == self._run_id:
                continue
            if notice.run_id not in self._asked:
                self._asked[notice.run_id] = self._network.fetch_settings(notice.peer, self._settings.swarm.run)
            pending = self._asked[notice.run_id]
            if pending is not None and (different := self._differences(pending)) is not None:
                self._asked[notice.run_id] = None
                self._display.note(
                    f"{notice.name} trains another run of the same name, which is not mixed with ours: {different}. "
                    f"To train together, one of the two starts without its checkpoints/{self._settings.swarm.run}"
                )

    def _differences(self, pending: Pending[bytes]) -> str | None:
        """Return in words how a fetched run differs from ours; None while its settings are on their way."""
        try:
            answer = pending.poll()
            if answer is None:
                return None
            return "; ".join(differences(self._settings, parse_settings(answer, "theirs"))) or "the tokenizers differ"
        except (TransferError, SettingsError) as error:
            return f"settings or tokenizer differ ({error})"
