"""The size of a run that is founded: asked for by name or by hours, said in a sentence, and kept by who comes later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minigpt.settings import Settings
from minigpt.sizing import SIZES, Size
from peer.command_line import parse_arguments
from peer.device.memory import OutOfMemory
from peer.joining import size as sizing
from peer.joining.errors import JoinError
from peer.joining.found_run import as_given
from peer.joining.prepare_text import TOKENIZER_TEXT
from peer.joining.size import plan_size
from peer.joining.wanted_run import Wanted, size_of, with_size
from tests.devices import TINY, Device
from tests.lan import Lan, requirements_missing
from tests.tiny import SETTINGS, stand_in

START = 180.0  # seconds
LAPTOP = 50e9  # operations a second


@pytest.fixture(autouse=True)
def a_laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose speed and memory are known, with 17 MB of text and no tokenizer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sizing, "measured_rates", lambda sizes, settings: dict.fromkeys(sizes, LAPTOP))
    monkeypatch.setattr(sizing, "available_memory", lambda device: 8_000_000_000)
    text = Settings().training.dataset.path
    text.parent.mkdir(parents=True)
    with text.open("wb") as file:
        file.truncate(17_000_000)


def plan(settings: Settings | None = None, **wanted: Any) -> sizing.Plan:
    return plan_size(Wanted(settings or Settings(), Path("checkpoints"), **wanted))


GUIDE = with_size(Settings(), SIZES["guide"])  # named, as in the guide's config.json


def test_where_nothing_is_named_it_is_what_learns_most_in_an_hour() -> None:
    said = plan()
    assert size_of(said.settings) == SIZES["small"] and said.settings.tokenizer.vocab_size == 8000
    assert said.sentence.startswith("size small, d_model 256, nhead 4, num_layers 4, vocab_size 8,000. 5.")
    assert said.sentence.endswith("; no other size would do better")


def test_a_size_that_the_settings_name_counts_and_a_better_one_is_told() -> None:
    said = plan(GUIDE)
    assert said.settings == GUIDE
    assert said.sentence.startswith("23.4 M parameters: about 1.")
    assert " bits/byte after an hour here (lower is better); --size small would reach about 1." in said.sentence
    small = plan(with_size(Settings(), SIZES["small"], 4000))
    assert small.sentence.endswith("an hour here (lower is better); no other size would do better")


def test_a_size_can_be_named() -> None:
    small = plan(GUIDE, size="small")
    assert size_of(small.settings) == SIZES["small"]
    assert small.sentence.startswith("--size small: d_model 256, nhead 4, num_layers 4, vocab_size ")
    assert " (the settings say d_model 512, nhead 8, num_layers 6, vocab_size 8,000). " in small.sentence
    large = plan(size="large").sentence
    assert large.startswith("--size large: ") and "; --size small would reach about 1." in large


def test_hours_decide_and_those_of_a_device_that_rests_half_the_time_are_worth_half() -> None:
    assert size_of(plan(hours=0.2).settings) == SIZES["small"]
    assert plan(hours=5000).settings.model.d_model >= SIZES["small"].d_model
    assert (
        "--hours 0.2: size small, " in plan(hours=0.2).sentence and " after 12 minutes here" in plan(hours=0.2).sentence
    )
    half = plan(hours=4, share_of_time=0.5).sentence
    assert half.replace("4 hours", "2 hours").replace("--hours 4", "--hours 2") == plan(hours=2).sentence


def test_a_tokenizer_that_is_there_keeps_its_pieces(tokenizer_model: Path) -> None:
    document = Settings().model_dump()
    document["tokenizer"]["model_path"] = tokenizer_model
    settings = Settings.model_validate(document)
    small = plan(settings, size="small").settings
    assert size_of(small) == SIZES["small"] and small.tokenizer == settings.tokenizer


def test_little_text_gets_few_pieces() -> None:
    TOKENIZER_TEXT.parent.mkdir(parents=True)
    TOKENIZER_TEXT.write_text("안녕\n" * 100, encoding="utf-8")
    assert plan(size="small").settings.tokenizer.vocab_size == 2000
    said = plan()
    assert said.settings.tokenizer.vocab_size == 8000, "not asked for: found_run says what becomes of it"
    assert "vocab_size 2,000. " in said.sentence
    assert "the settings say" not in plan(size="small").sentence, "they name no size"


@pytest.mark.parametrize(("megabytes", "is_little"), [(0.05, True), (1.2, True), (1.4, False)])
def test_text_that_is_learnt_before_the_hour_is_over_gets_no_figure(megabytes: float, is_little: bool) -> None:
    with Settings().training.dataset.path.open("wb") as file:
        file.truncate(int(1e6 * megabytes))
    said = plan().sentence
    assert said.startswith("size small, 5.") == is_little and len(said.split()) < 40
    assert ("there is little text, which is learnt in less than an hour here, and what" in said) == is_little
    assert ("bits/byte" in said) != is_little


def test_no_size_is_chosen_that_there_is_no_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "available_memory", lambda device: 1_000_000_000)
    assert size_of(plan(hours=5000).settings) in (SIZES["small"], SIZES["medium"])
    with pytest.raises(OutOfMemory):
        plan(size="large")


def test_a_speed_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    small = Size(32, 2, 2)
    rates = sizing.measured_rates([small], SETTINGS)
    assert 1e5 < rates[small] < 1e13


def test_who_joins_or_goes_on_is_told_that_the_run_keeps_its_size() -> None:
    theirs, said = with_size(SETTINGS, SIZES["small"], 4000), list[str]()
    wanted = Wanted(SETTINGS, Path("checkpoints"), insists=True, size="guide")
    taken = wanted.settings_in(theirs, "run 'cellmind' of desk", said.append)
    assert size_of(taken) == SIZES["small"] and taken.tokenizer.vocab_size == 4000
    assert said == [
        "--size guide is for a run that is founded: run 'cellmind' of desk keeps its own size, "
        "d_model 256, nhead 4, num_layers 4"
    ]
    said.clear()
    Wanted(SETTINGS, Path("checkpoints"), insists=True, size="small").settings_in(theirs, "the run", said.append)
    assert said == [], "it is what was asked for"
    with pytest.raises(JoinError, match=r"model.d_model is 32 here and 256 there"):
        Wanted(SETTINGS, Path("checkpoints"), insists=True).settings_in(theirs, "the run", said.append)


def test_settings_that_name_no_size_fit_a_run_of_any() -> None:
    theirs, said = with_size(Settings(), SIZES["large"]), list[str]()
    taken = Wanted(Settings(), Path("checkpoints"), insists=True).settings_in(theirs, "the run", said.append)
    assert size_of(taken) == SIZES["large"] and said == []


def test_a_run_that_begins_with_a_checkpoint_has_its_size() -> None:
    given = stand_in(folder=Path("checkpoints/old"))
    wanted = Wanted(SETTINGS, Path("checkpoints"), hours=2)
    assert as_given(wanted, given) == (
        "the run begins with the model in checkpoints/old and keeps its size: --hours 2 is passed over"
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--join --size huge", "--size: invalid choice: 'huge'"),
        ("--join --hours 0", "--hours: 0 is not from 0.01 to 10000"),
        ("--join --hours nan", "--hours: nan is not from 0.01 to 10000"),
        ("--join --hours two", "--hours: invalid number value: 'two'"),
        ("--join --hours 2 --size small", "--size: not allowed with argument --hours"),
        ("--sync --size small", "--size and --hours are for the founding of a run: add --join"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(line: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(line.split())
    assert ended.value.code == 2 and why in capsys.readouterr().err


@pytest.mark.lan
@pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}")
def test_a_run_is_founded_with_the_size_that_is_named_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with Lan(hosts=1) as lan:
        device = Device(lan.hosts[0], tmp_path / "device", TINY)
        founder = device.join("--size", "small", "--rounds", "0")
        assert founder.wait(START) == 0, founder.output()
        said = founder.output()
        assert said.count("--size small: d_model 256, nhead 4, num_layers 4, vocab_size ") == 1, said
        assert "(the settings say d_model 32, nhead 2, num_layers 1, vocab_size 1,500)" in said
        assert "trains 3.7 M parameters" in said and "nobody trains 'cellmind' here yet: founded run" in said

        again = device.join("--config", "config.json", "--hours", "2", "--rounds", "0")
        assert again.wait(START) == 0, again.output()
        assert again.output().count("--hours 2 is for a run that is founded: the run in ") == 1, again.output()
