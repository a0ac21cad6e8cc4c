"""The key that says who this device is."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from hivemind.proto import crypto_pb2
from hivemind.utils.crypto import RSAPrivateKey

from data.atomic import replacing


def make_identity(path: Path) -> None:
    """Make the key that says who this device is: whole or not there, and its owner's alone from the first moment.

    It is the file that p2pd reads. hivemind would write it for everybody to read, and restrict it then. Raises OSError.
    """
    key = crypto_pb2.PrivateKey(key_type=crypto_pb2.KeyType.RSA, data=RSAPrivateKey().to_bytes())
    with replacing(path) as part, open(part, "xb", opener=partial(os.open, mode=0o400)) as file:
        file.write(key.SerializeToString())
