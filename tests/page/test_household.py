"""The page of a real peer, in a real browser: others come and leave, it pauses, answers, and is seen from a phone."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.devices import GentleDevice
from tests.lan import Lan, wait_until
from tests.lan import requirements_missing as lan_missing
from tests.page.browser import PHONE, Watched, browsers, chromium, requirements_missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MISSING = requirements_missing() or lan_missing()
pytestmark = [pytest.mark.lan, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

START = 180.0  # seconds; a machine that runs other things as well starts three peers in half of it


def press(shown: Watched, button: str) -> None:
    """Press a button that asks once, and say yes."""
    shown.page.get_by_role("button", name=button, exact=True).click()
    shown.page.locator("#confirm button[value=yes]").click()


def rounds(shown: Watched) -> int:
    """Return the round that the page shows."""
    return int(shown.text("#now-facts > div:nth-child(2) dd").replace(",", ""))


def test_a_household_trains_before_our_eyes(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        desk, phone = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        desk.prepare(round_zero)
        process = desk.start("peer", "--join", "--go-on", "--share-of-time", "0.25", "--name", "host1")  # with its page
        address = process.wait_for(r"^page: (http://\S+)", START)[1]
        starts = (host.script(chromium(), tmp_path / f"{host.name}-chromium") for host in lan.hosts)
        process.wait_for("^host1 trains", START)
        with browsers(*starts) as [here, elsewhere]:
            shown = Watched(here, address)
            shown.wait_for("#status", "Training")
            other = phone.join()
            shown.page.wait_for_selector("#learning-chart canvas", timeout=1000 * START)
            was = rounds(shown)
            assert wait_until(lambda: rounds(shown) > was, START)
            ask(shown)
            shown.page.locator("#people-list .name", has_text="host2").wait_for(timeout=1000 * START)
            press(shown, "Pause")
            shown.wait_for("#status", "Paused")
            press(shown, "Go on")
            shown.wait_for("#status", "Training")
            os.killpg(other.pid, signal.SIGKILL)
            shown.page.locator("#people-list li", has_text="host2").get_by_text("left at").wait_for(
                timeout=1000 * START
            )
            shown.wait_for("#event-list", "host2 left")

            press(shown, "Open it to the network")
            link = shown.page.locator("#said code").inner_text()
            is_opened_with_the_token_alone(elsewhere, link)
            os.killpg(process.pid, signal.SIGINT)
            shown.wait_for("#banner", "This device has stopped")
            assert shown.errors == []
        assert process.wait(START) == 0
        assert wait_until(lambda: not lan.hosts[0].pids(), 30), "the page goes with its peer"


def ask(shown: Watched) -> None:
    """Ask, stop that before there can be an answer, and ask again for one."""
    shown.page.fill("#prompt", "오늘 저녁에")
    shown.page.evaluate("document.getElementById('send').click(); document.getElementById('stop').click()")
    shown.page.locator("#stop").wait_for(state="hidden")
    assert shown.text("#ask-said") == ""
    shown.page.click("#send")
    answer = shown.page.locator("#answer p > span:last-child").filter(has_text=re.compile(r"\S"))
    answer.wait_for(timeout=1000 * START)
    shown.page.locator("#stop").wait_for(state="hidden")
    assert shown.text("#ask-said") == ""


def is_opened_with_the_token_alone(browser: Browser, link: str) -> None:
    """See that another device's browser is shown nothing before it gives the token of the link."""
    shown = Watched(browser, link.partition("#")[0], PHONE)
    shown.page.locator("#token-form").wait_for()
    assert shown.page.locator("#people-list li").count() == 0
    shown.page.fill("#token-form input", link)
    shown.page.click("#token-form button")
    shown.wait_for("#status", "Training")
    assert not shown.page.locator("#masked").is_visible(), "samples of texts are for loopback"
    assert shown.errors == []
    shown.close()
