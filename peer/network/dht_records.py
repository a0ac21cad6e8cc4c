"""The records that the DHT keeps for others, and believes of others: small, short-lived, readable and signed ones.

Without this a single odd value makes hivemind's search fail for everybody who looks at the notice board, and a plain
value in the board's place keeps all notices out of it, for as long as its sender likes. And without signatures anybody
could put another notice in the place of a device's own.
"""

from __future__ import annotations

from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DHTLocalStorage, DictionaryDHTValue
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.utils import MSGPackSerializer

from peer.network import clock
from peer.network.signatures import Signers
from peer.swarm.membership import FUTURE_SECONDS, SILENCE_SECONDS

MAX_RECORD_BYTES = 4096  # a notice has some 1,000, with its signature
MAX_LIFE_SECONDS = 3600.0
MAX_STORED_BYTES = 16_000_000  # of everybody


def board_of(run: str) -> str:
    """Return the DHT key of a run's notice board."""
    return f"cellmind.{run}.peers"


class SoundRecords(RecordValidatorBase):
    """Refuses what no honest peer stores.

    :param board: key of the notice board, which holds nothing but notices: an entry an address, gone in seconds
    """

    def __init__(self, board: str):
        self._board = DHTID.generate(source=board).to_bytes()
        self._signers = Signers()

    def validate(self, record: DHTRecord) -> bool:
        """Return whether an honest peer can have stored that."""
        on_the_board = record.key == self._board
        life = SILENCE_SECONDS + FUTURE_SECONDS if on_the_board else MAX_LIFE_SECONDS
        if len(record.value) > MAX_RECORD_BYTES or len(record.subkey) > MAX_RECORD_BYTES:
            return False
        if not record.expiration_time <= clock.now() + life:  # also where it is not a number
            return False
        is_plain = record.subkey == DHTProtocol.IS_REGULAR_VALUE
        try:
            value = MSGPackSerializer.loads(record.value)
            subkey = None if is_plain else MSGPackSerializer.loads(record.subkey)
            hash(subkey)
        except Exception:  # msgpack and its extensions fail in many ways
            return False
        if isinstance(subkey, str) and "/p2p/" in subkey:  # an address, on the board of whatever run
            return self._signers.admit(record.key, subkey, value, record.expiration_time)
        return isinstance(subkey, str) if on_the_board else True


def forget_if_too_much(storage: DHTLocalStorage) -> None:
    """Empty a storage that somebody has filled up; who is honest stores again what matters within seconds."""
    stored = 0
    for _, (value, _) in storage.items():
        entries = value.items() if isinstance(value, DictionaryDHTValue) else [("", (value, 0.0))]
        stored += sum(100 + len(str(subkey)) + len(content) for subkey, (content, _) in entries)
    if stored > MAX_STORED_BYTES:
        storage.clear()
