"""What tests of several rooms of peer/ share: DHT nodes that know each other."""

from __future__ import annotations

from collections.abc import Iterator

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind import DHT

from tests.dht import acquainted_nodes


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[DHT]]:
    with acquainted_nodes(tmp_path_factory.mktemp("nodes"), 3) as started:
        yield started
