"""The page in a real browser, over files as a peer leaves them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from peer.device.control import Control, ControlError
from peer.device.event_log import KnownLine
from peer.page.models import DoorNow, KnockNow, Snapshot, Written
from peer.page.self_contained import POLICY, Kept, self_contained
from peer.page.sources import Sources
from tests.lan import wait_until
from tests.page.browser import PHONE, requirements_missing
from tests.page.conftest import Open, PageProcess
from tests.page.night import RUN, RUN_ID, event, metrics, write_snapshot

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.skipif(requirements_missing() is not None, reason=str(requirements_missing()))

MOST_BYTES = 150_000  # of everything that a browser loads, but for the data
STATIC = Path(__file__).parents[2] / "peer" / "page" / "static"
SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def read(checkpoints: Path) -> Snapshot:
    return Snapshot.model_validate_json((checkpoints / "snapshot.json").read_text(encoding="utf-8"))


def append(path: Path, entry: dict[str, object]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def test_a_night_on_a_phone_and_in_korean(night: PageProcess, open_page: Open) -> None:
    shown = open_page(night.address, size=PHONE)
    shown.wait_for("#figure", "%")
    shown.page.wait_for_selector("#learning-chart canvas")
    for text in ("desk", "mina-laptop", "galaxy-s23", "old-laptop"):
        shown.wait_for("#people-list .name", text)
    shown.wait_for("#people-list li:last-child", "left at")
    shown.wait_for("#newest-text", "치킨")

    shown.page.fill("#filter", "FOUNDED")
    assert shown.page.locator("#event-list li").count() == 1
    shown.page.locator("#sample-round").fill("0")
    assert "Round 6," in shown.text("#sample-words")
    shown.page.click("#more-charts summary")
    shown.page.wait_for_selector("#traffic-chart canvas")
    shown.page.check("input[name=by][value=tokens]")
    assert not shown.scrolls_sideways()
    assert shown.grave_findings() == []

    shown.page.click("#language")
    assert shown.text("#people-title") == "함께하는 기기"
    assert shown.page.evaluate("document.documentElement.lang") == "ko"
    assert not shown.scrolls_sideways()
    assert shown.hosts() == {f"127.0.0.1:{night.port}"}
    loaded = {url.rpartition("/static/")[2] for url in shown.requested if "/static/" in url} | {"index.html"}
    total = sum((STATIC / name).stat().st_size for name in loaded)
    assert total <= MOST_BYTES


def test_what_happens_is_on_the_page_within_a_second_or_two(night: PageProcess, open_page: Open) -> None:
    shown = open_page(night.address, color_scheme="dark", locale="ko-KR")
    shown.wait_for("#status", "학습 중")
    shown.page.wait_for_selector("#learning-chart canvas")
    *_, last = metrics(421, time.time() - 421 * 40)
    append(night.checkpoints / RUN / "metrics.jsonl", last)
    written = {"prompt": "내일", "text": " 봐"}
    append(
        night.checkpoints / RUN / "samples.jsonl",
        {"time": last["time"], "run_id": RUN_ID, "round": 421, "samples": [written]},
    )
    left = KnownLine("mina-laptop left", "left", name="mina-laptop")
    for n, line in enumerate((KnownLine("hens lay eggs", "eggs"), "a line of no kind", left), start=10_000):
        append(night.checkpoints / "events.jsonl", event(n, time.time(), line))
    before = read(night.checkpoints)
    peers = [
        peer.model_copy(update={"left_at": time.time()} if peer.name == "mina-laptop" else {}) for peer in before.peers
    ]
    rest = {"is_resting": True, "why": "battery at 19 %", "until": "at 30 % or on a charger"}
    device = before.device.model_copy(update=rest)
    knocks = [KnockNow(name="phone", number="4827", host="192.168.0.9")]
    write_snapshot(night.checkpoints, before.model_copy(update={"peers": peers, "device": device, "knocks": knocks}))
    shown.wait_for("#people-list li:nth-child(2)", "나감")
    shown.wait_for("#people-list li:first-child", "배터리 19 %")
    shown.wait_for("#status", "쉬는 중")
    shown.wait_for("#people-list .state", "배터리 19 %. 30 %가 되거나 충전하면 이어 갑니다")
    shown.wait_for("#event-list li:first-child", "mina-laptop 나감")
    shown.wait_for("#event-list li:nth-child(2)", "a line of no kind")
    shown.wait_for("#event-list li:nth-child(3)", "hens lay eggs")
    shown.wait_for("#event-list li:nth-child(4)", "라운드 420 · 손실")
    shown.page.click("#language")
    shown.wait_for("#event-list li:first-child", "mina-laptop left")
    shown.page.click("#language")
    shown.page.click("#deeds button:first-child")
    shown.page.click("#confirm button[value=yes]")
    shown.wait_for("#said", "이 기기의 피어가 응답하지 않습니다")
    shown.wait_for("#newest-text", "내일 봐")
    shown.wait_for("#banner", "4827")
    shown.wait_for("#knocks button", "들이기")
    shown.wait_for("#sample-words", "421")
    assert shown.grave_findings() == []


def test_a_script_in_a_name_a_line_or_a_sample_is_text(night: PageProcess, open_page: Open) -> None:
    before = read(night.checkpoints)
    names = [SCRIPT, "👩‍👩‍👧" * 200, "mina", SCRIPT]
    peers = [peer.model_copy(update={"name": name}) for peer, name in zip(before.peers, names, strict=True)]
    device = before.device.model_copy(update={"name": SCRIPT, "why": SCRIPT, "is_resting": True})
    texts = [text.model_copy(update={"file": SCRIPT}) for text in before.texts]
    run = before.run.model_copy(update={"size": SCRIPT})
    changes = {"peers": peers, "device": device, "texts": texts, "run": run, "problem": SCRIPT}
    write_snapshot(night.checkpoints, before.model_copy(update=changes))
    append(night.checkpoints / "events.jsonl", event(9000, 1e9, KnownLine(SCRIPT, "joined", name=SCRIPT, host=SCRIPT)))
    sample = {
        "time": 1e9,
        "run_id": RUN_ID,
        "round": 9000,
        "samples": [Written(prompt=SCRIPT, text=SCRIPT).model_dump()],
    }
    append(night.checkpoints / RUN / "samples.jsonl", sample)
    shown = open_page(night.address, size=PHONE)
    for selector in ("#people-list .name", "#event-list", "#newest-text", "#text-list", "#now-facts", "#banner"):
        shown.wait_for(selector, SCRIPT)
    assert shown.page.locator("main img, main script").count() == 0
    assert not shown.scrolls_sideways()


def test_a_device_that_stops_says_so_and_comes_back(night: PageProcess, open_page: Open) -> None:
    shown = open_page(night.address)
    shown.wait_for("#status", "Training")
    shown.wait_for_stream()
    night.stop()
    shown.wait_for("#banner", "This device has stopped")
    assert "mina-laptop" in shown.text("#people-list"), "what was there is still to be seen"
    append(night.checkpoints / "events.jsonl", {"n": 10_000, "time": time.time(), "text": "phone is here"})
    night.start()
    shown.wait_for("#status", "Training")
    shown.wait_for("#event-list li:first-child", "phone is here")
    assert shown.page.locator("#event-list li", has_text="phone is here").count() == 1
    assert shown.page.locator("#banner").is_hidden()
    shown.page.reload()
    shown.wait_for("#people-list", "mina-laptop")


def test_a_device_that_knocks_shows_its_number(night: PageProcess, open_page: Open) -> None:
    before = read(night.checkpoints)
    device = before.device.model_copy(update={"role": "asking"})
    door = DoorNow(asks=True, number="5840")
    write_snapshot(night.checkpoints, before.model_copy(update={"device": device, "door": door}))
    shown = open_page(night.address, size=PHONE)
    shown.wait_for("#figure", "5840")
    shown.wait_for("#status", "Asks to be let in")
    shown.wait_for("#door-words", "Not in")
    assert shown.page.locator("#lock").is_hidden()
    assert not shown.scrolls_sideways() and shown.grave_findings() == []


def test_a_device_that_was_ejected_says_so_and_how_to_come_back(night: PageProcess, open_page: Open) -> None:
    before = read(night.checkpoints)
    run = before.run.model_copy(update={"is_locked": True})
    changes = {
        "run": run,
        "door": DoorNow(is_ejected=True),
        "device": before.device.model_copy(update={"role": "ejected"}),
    }
    write_snapshot(night.checkpoints, before.model_copy(update=changes))
    shown = open_page(night.address, size=PHONE)
    shown.wait_for("#banner", "To come back")
    shown.wait_for("#status", "Ejected")
    shown.wait_for("#door-words", "Not in")
    assert shown.page.locator("#lock").is_hidden() and shown.page.locator("#eject-form select").is_hidden()
    assert not shown.scrolls_sideways() and shown.grave_findings() == []


# what the peer refuses, as it comes over the control channel, and what the page says of it
NOT_DONE = [
    ("nobody_knocks", {"number": "4827"}, "4827번으로 들어오려는 기기가 없습니다"),
    ("same_number", {"number": "4827", "names": "a (10.0.0.2), b (10.0.0.3)"}, "번호가 같아 들이지 않았습니다: a"),
    ("knock_is_lost", {"name": "phone"}, "phone: 새 번호를 기다리세요"),
    ("not_kept", {"why": "No space left on device"}, "바꾸지 못했습니다: 디스크가 가득 참"),
    ("was_ejected", {}, "내보내져 따로 학습하는 중입니다"),
    ("not_in_yet", {}, "아직 못 들어옴"),
]


def test_the_door_in_korean(night: PageProcess, open_page: Open) -> None:
    """Two devices knock with one number by chance, two members have one name, and one is away."""
    before = read(night.checkpoints)
    peers = [peer.model_copy(update={"name": "laptop"} if peer.left_at is None else {}) for peer in before.peers]
    run = before.run.model_copy(update={"is_locked": True, "away": ["old-laptop"]})
    knocks = [KnockNow(name=name, peer=name, number="4827", host="10.0.0.2") for name in ("phone", "tablet")]
    of_a_locked_run = before.model_copy(update={"run": run, "peers": peers, "knocks": knocks})
    write_snapshot(night.checkpoints, of_a_locked_run)
    refusals, asked = list(NOT_DONE), list[str]()

    def refuse(arguments: Sequence[str]) -> dict[str, Any]:
        asked.extend(arguments)
        kind, values, _ = refusals.pop(0)
        raise ControlError(KnownLine("in English", kind, **values))

    control = Control(night.checkpoints, {"admit": refuse, "eject": refuse})
    try:
        shown = open_page(night.address, locale="ko-KR")
        shown.wait_for("#door-words", "잠겨 있음")
        for speed in (1.0, 2.0):  # snapshots, as they come every second
            device = before.device.model_copy(update={"address": f"10.0.0.{speed:.0f}"})
            own = peers[0].model_copy(update={"tokens_per_second": speed})
            newer = {"device": device, "peers": [own, *peers[1:]]}
            write_snapshot(night.checkpoints, of_a_locked_run.model_copy(update=newer))
            shown.wait_for("#people-list li:first-child .speed", f"{speed:.0f} 토큰/초")
        assert shown.page.locator("#knocks li").count() == 2, "one that is gone is not left behind"
        options = shown.page.locator("#eject-form option")
        assert options.evaluate_all("all => all.map(({ value, text }) => [value, text])") == [
            ["Qmmina-laptop", "laptop"],
            ["Qmgalaxy-s23", "laptop"],
            ["old-laptop", "old-laptop"],
        ]
        for *_, said in NOT_DONE:
            shown.page.click("#eject-form button:last-child" if len(refusals) == 2 else "#knocks button >> nth=0")
            shown.page.click("#confirm button[value=yes]")
            shown.wait_for("#said", said)
        assert set(asked) == {"4827", "Qmmina-laptop"}
    finally:
        control.stop()

    door = DoorNow(asks=True, problem="it has knocked 3 times within 120 s")
    write_snapshot(night.checkpoints, before.model_copy(update={"door": door}))
    shown.wait_for("#sentence", "아직 못 들어옴: 요청이 너무 잦음. 다시 요청합니다.")


def test_after_a_start_it_shows_what_was_measured_last_and_how_old_that_is(night: PageProcess, open_page: Open) -> None:
    before = read(night.checkpoints)
    learning = before.learning.model_copy(update={"right_share": None})
    run = before.run.model_copy(update={"round": before.run.round + 20})
    write_snapshot(night.checkpoints, before.model_copy(update={"learning": learning, "run": run}))
    shown = open_page(night.address)
    shown.wait_for("#figure", "%")
    shown.wait_for("#newest-title", "What it wrote after round 420,")


def test_an_answer_is_stopped_at_once_and_asked_for_again(night: PageProcess, open_page: Open) -> None:
    shown = open_page(night.address)
    waiting: list[Route] = []
    shown.page.route("**/v1/models", lambda route: waiting.append(route))  # which is answered when it is too late
    shown.page.fill("#prompt", "오늘 저녁에")
    shown.page.keyboard.press("Enter")
    shown.page.click("#stop")
    shown.page.locator("#stop").wait_for(state="hidden")
    assert shown.text("#ask-said") == "" and len(waiting) == 1
    shown.page.unroute("**/v1/models")
    shown.page.route("**/v1/models", lambda route: route.fulfill(json={"data": [{"id": RUN}]}))
    pieces = "".join(f"data: {json.dumps({'choices': [{'text': text}]})}\n\n" for text in (" 치킨", " 먹자"))
    shown.page.route("**/v1/completions", lambda route: route.fulfill(body=f"{pieces}data: [DONE]\n\n"))
    shown.page.click("#send")
    shown.wait_for("#answer", "오늘 저녁에 치킨 먹자")

    words = {"message": "that device rests", "kind": "asked_rests", "values": {}}
    refused = f"data: {json.dumps({'error': words})}\n\ndata: [DONE]\n\n"
    shown.page.route("**/api/of/Qmmina-laptop/v1/completions", lambda route: route.fulfill(body=refused))
    shown.page.select_option("#ask-form select", label="mina-laptop")
    shown.page.click("#send")
    shown.wait_for("#ask-said", "that device rests")


def test_a_report_needs_nothing_but_its_file(tmp_path: Path, night: PageProcess, open_page: Open) -> None:
    sources = Sources(night.checkpoints)
    sources.look()
    kept = Kept(
        snapshot=sources.snapshot,
        metrics=sources.metrics(2000),
        samples=sources.samples_since(0).samples,
        settings={"model.d_model": 256, "swarm.run": SCRIPT},
    )
    path = tmp_path / "night.html"
    path.write_text(self_contained(kept), encoding="utf-8")
    assert POLICY in path.read_text(encoding="utf-8")
    shown = open_page(path.as_uri(), size=PHONE)
    shown.page.wait_for_selector("#throughput-chart canvas")
    shown.wait_for("dd", SCRIPT)
    assert not shown.scrolls_sideways()
    assert shown.grave_findings() == []
    assert shown.hosts() == {""}
    assert wait_until(lambda: "to" in shown.text("#run-name"), 5)
