"""The option that these tests need: they take many minutes, and several GB of disk."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--phone", metavar="FOLDER", help="run the tests of an emulated phone, whose Debian is built and kept in FOLDER"
    )
