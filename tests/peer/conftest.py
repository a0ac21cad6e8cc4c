"""Fixtures of several rooms of peer/: DHT nodes that know each other."""

from __future__ import annotations

from collections.abc import Iterator

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind import DHT

from tests.dht import acquainted_nodes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark who needs DHT nodes: they have processes of their own."""
    for item in items:
        if "nodes" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.lan)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[DHT]]:
    with acquainted_nodes(tmp_path_factory.mktemp("nodes"), 3) as started:
        yield started
