"""Fixtures of several rooms of peer/: DHT nodes that know each other, and a processor on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
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


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A model this small only waits for its threads, above all where other tests run beside it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
