"""Whose a connection over loopback is: the account that trains and root may look, and no other one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peer.page import local_user, place
from peer.page.local_user import is_owner, uid_in, users_of
from peer.page.process import PageProcess
from tests.peer.page.folders import fill

ENDS = ("0100007F:B8FE", "0100007F:5BB8")
SEEN = " 3: 0100007F:B8FE 0100007F:5BB8 01 00000000:00000000 00:00000000 00000000  1000        0 77 1 0 20 4 31 10 -1"
AS_NOBODY = """
import encodings.idna, os, sys, urllib.request
os.setuid(65534)
print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


def test_the_user_of_a_connection_is_found_by_both_of_its_ends() -> None:
    title = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    mapped = SEEN.replace("0100007F:B8FE", "0000000000000000FFFF00000100007F:B8FE")
    others = [SEEN.replace("B8FE", "B8FF"), SEEN.replace("5BB8", "5BB9"), SEEN.replace(" 01 ", " 06 "), "", "cut short"]
    assert list(users_of([title, *others], ENDS)) == []
    assert list(users_of([title, *others, SEEN], ENDS)) == [1000]
    assert list(users_of([mapped], ENDS)) == [1000]


@pytest.mark.parametrize(("uid", "allowed"), [("1000", True), ("0", True), ("1001", False)])
def test_the_owner_and_root_may_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: str, allowed: bool) -> None:
    (tmp_path / "tcp").write_text(SEEN.replace(" 1000 ", f" {uid} "))
    (tmp_path / "status").write_text("Name:\tpython\nUid:\t1000\t1000\t1000\t1000\nGid:\t0\t0\t0\t0\n")
    monkeypatch.setattr(local_user, "TABLES", (tmp_path / "tcp", tmp_path / "none"))
    monkeypatch.setattr(local_user, "STATUS", tmp_path / "status")
    assert is_owner(("127.0.0.1", 0xB8FE), ("127.0.0.1", 0x5BB8)) == allowed
    assert not is_owner(("127.0.0.1", 1), ("127.0.0.1", 0x5BB8)), "who has gone meanwhile is nobody"


def test_where_nothing_is_told_whoever_is_here_is_taken_for_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_owner(("testclient", 1), ("127.0.0.1", 2))
    monkeypatch.setattr(local_user, "STATUS", Path("/nowhere"))
    assert is_owner(("127.0.0.1", 1), ("127.0.0.1", 2))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux, and root to be another user")
def test_another_account_of_this_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uid_in(Path("/proc/self/status").read_text()) == 0
    monkeypatch.setattr(place, "PORT", 24580)
    fill(tmp_path)
    page = PageProcess(tmp_path)
    try:
        command = [sys.executable, "-c", AS_NOBODY]
        url = f"{page.url}/api/snapshot"
        other = subprocess.run([*command, url], capture_output=True, text=True, timeout=60)
        assert other.returncode and "403" in other.stderr
        mine = subprocess.run([*command[:-1], AS_NOBODY.replace("os.setuid", "#"), url], capture_output=True, text=True)
        assert '"round":3' in mine.stdout, mine.stderr
    finally:
        page.stop()
