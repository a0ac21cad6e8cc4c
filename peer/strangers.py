"""Two runs of one name on a network: said, with what differs, and never mixed."""

from __future__ import annotations

from collections.abc import Callable

from minigpt.settings import Settings, SettingsError, differences, parse_settings
from peer.display import Display
from peer.membership import Notice, Role
from peer.network import Network
from peer.transfer import TransferError


class Strangers:
    """Peers that train another run of the same name: they are not mixed with, and it is said what differs."""

    def __init__(self, network: Network, settings: Settings, run_id: str, display: Display):
        self._network, self._settings, self._run_id, self._display = network, settings, run_id, display
        self._asked: dict[str, Callable[[], bytes | None] | None] = {}  # by run id; None once it has been said

    def look(self, notices: list[Notice]) -> None:
        """Ask a stranger for its settings, in the background, and compare them when they are here."""
        for notice in notices:
            if notice.role != Role.TRAINING or notice.run_id == self._run_id:
                continue
            if notice.run_id not in self._asked:
                self._asked[notice.run_id] = self._network.fetch_settings(notice.peer, self._settings.swarm.run)
            poll = self._asked[notice.run_id]
            if poll is not None and (different := self._differences(poll)) is not None:
                self._asked[notice.run_id] = None
                self._display.note(
                    f"{notice.name} trains another run of the same name, which is not mixed with ours: {different}. "
                    f"To train together, one of the two starts without its checkpoints/{self._settings.swarm.run}"
                )

    def _differences(self, poll: Callable[[], bytes | None]) -> str | None:
        try:
            answer = poll()
            if answer is None:
                return None
            return "; ".join(differences(self._settings, parse_settings(answer, "theirs"))) or "the tokenizers differ"
        except (TransferError, SettingsError) as error:
            return f"settings or tokenizer differ ({error})"
