"""Settings: the shipped file, what is refused and how it is said, and what makes two devices one run."""

import json
import re
from pathlib import Path

import pytest

from minigpt.settings import (
    Settings,
    SettingsError,
    differences,
    dump_settings,
    load_settings,
    parse_settings,
    run_id,
    run_identity,
    with_identity_of,
)

SHIPPED = Path(__file__).parents[2] / "config.json"


def settings(**sections: dict[str, object]) -> Settings:
    return Settings.model_validate(sections)


def refused(tmp_path: Path, text: str) -> list[str]:
    """The lines with which a file of this text is refused, without the file's name."""
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(path)) for line in lines)
    return [line.removeprefix(str(path)).lstrip(": ") for line in lines]


def test_shipped_file_holds_the_defaults() -> None:
    assert load_settings(SHIPPED) == (Settings(), [])


def test_shipped_file_names_and_explains_every_key() -> None:
    shipped = SHIPPED.read_text(encoding="utf-8")
    explained = re.findall(r'^\s*(?:// )?"(\w+)": [^{\n]*//\s*\S', shipped, re.MULTILINE)
    keys = re.findall(r'"(\w+)": [^{]', Settings().model_dump_json(indent=2))
    assert sorted(explained) == sorted(keys)
    korean = re.findall(r'^\s*// .*[가-힣].*\n\s*(?:// )?"(\w+)": [^{]', shipped, re.MULTILINE)
    assert korean == explained, "in Korean a line above"


def test_empty_file_of_settings_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf{ /* all as it is */ }")
    assert load_settings(tmp_path / "config.json") == (Settings(), [])


def test_guide_style_file_is_accepted_with_a_notice(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"training": {"batch_size": 8}, "distributed": {"world_size": 4, "hosts": ["a", "b"]}}')
    loaded, notices = load_settings(path)
    assert loaded == settings(training={"batch_size": 8})
    assert len(notices) == 1
    assert "world size" in notices[0] and "SSH" in notices[0] and str(path) in notices[0]


GUIDE = """{
  "distributed": {
    "backend": "gloo",                   // CPU-only → gloo, GPU → nccl
    "init_method": "tcp://192.168.0.100:23456",
    "world_size": 3,
    "worker_ips": ["192.168.0.101","192.168.0.102"],
    "usernames": {"192.168.0.101": "laptop_user","192.168.0.102": "termux_user"}
  },
  "model": {"d_model": 512,"nhead": 8,"num_layers": 6,"dropout": 0.1,"checkpoint":  "checkpoints/latest.pt"},
  "tokenizer": {"model_path":  "tokenizer/tokenizer.model","vocab_size":  8000},
  "training": {"batch_size": 32,"epochs": 3,"lr": 3e-4,"dataset": {"path": "data/for-model-training/train.jsonl","seq_len": 256}}
}"""  # noqa: E501 -- as it stands


def test_the_guides_own_file_is_accepted_and_only_distributed_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(GUIDE, encoding="utf-8")
    loaded, [notice] = load_settings(path)
    assert '"distributed" is no longer needed and is ignored' in notice
    assert (loaded.training.epochs, loaded.model.checkpoint) == (3, Path("checkpoints/latest.pt"))
    assert loaded.tokenizer.model_path == Path("tokenizer/tokenizer.model")
    defaults = settings(model={"dropout": 0.1})  # of the guide's day
    assert run_id(loaded, "ab" * 32) == run_id(defaults, "ab" * 32), "a run that others can join"


def test_two_heads_too_many(tmp_path: Path) -> None:
    assert refused(tmp_path, '{"model": {"d_model": 500, "nhead": 8}}') == [
        "model.d_model is 500: it must be divisible by nhead, which is 8"
    ]


@pytest.mark.parametrize("name", ["latest", "best"])
def test_no_run_is_called_as_the_link_beside_it(tmp_path: Path, name: str) -> None:
    """Its folder would stand where the link belongs, or its rounds go into what the link leads to."""
    [line] = refused(tmp_path, json.dumps({"swarm": {"run": name}}))
    assert line == f'swarm.run is "{name}": checkpoints/{name} is a link, give the run another name'


def test_every_problem_has_a_line_with_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    text = """{
        "model": {"d_model": "512", "layers": 6},
        "training": {"lr": NaN, "batch_size": 0, "dataset": []},
        "swarm": {"run": "우리 가족", "averaging": "never"},
        "speed": "fast",
    }"""
    assert sorted(refused(tmp_path, text)) == [
        'model.d_model is "512": it must be a whole number',
        "model.layers is not a known setting; allowed here: d_model, nhead, num_layers, dropout, checkpoint",
        "speed is not a known setting; allowed here: data, model, tokenizer, training, swarm, device",
        "swarm.averaging is \"never\": it must be 'background' or 'sync'",
        'swarm.run is "우리 가족": it must be 1 to 40 small letters, digits and dashes',
        "training.batch_size is 0: it must be at least 1",
        "training.dataset is []: it must be a section in braces",
        "training.lr is NaN: it must be at most 1.0",
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"model": {"d_model": 24, "nhead": 8}}', "model.d_model / nhead"),  # heads of odd size cannot be rotated
        ('{"model": {"num_layers": 0}}', "model.num_layers"),
        ('{"model": {"dropout": 1}}', "model.dropout"),
        ('{"model": {"d_model": 1e9}}', "model.d_model"),
        ('{"model": {"nhead": true}}', "model.nhead"),
        ('{"model": {"checkpoint": 3}}', "model.checkpoint"),
        ('{"training": {"epochs": 0}}', "training.epochs"),
        ('{"training": {"epochs": 2.5}}', "training.epochs"),
        ('{"training": {"epochs": "3"}}', "training.epochs"),
        ('{"tokenizer": {"vocab_size": 100}}', "tokenizer.vocab_size"),
        ('{"tokenizer": {"model_path": 3}}', "tokenizer.model_path"),
        ('{"training": {"lr": -1}}', "training.lr"),
        ('{"training": {"dataset": {"seq_len": 1}}}', "training.dataset.seq_len"),
        ('{"training": {"dataset": {"packed": "yes"}}}', "training.dataset.packed"),
        ('{"swarm": {"samples_per_round": 0}}', "swarm.samples_per_round"),
        ('{"swarm": {"run": "home\\n"}}', "swarm.run"),
        ('{"data": {"lower_case": 1}}', "data.lower_case"),
        ("[]", "the whole file"),
    ],
)
def test_impossible_values(tmp_path: Path, text: str, key: str) -> None:
    (line,) = refused(tmp_path, text)
    assert line.startswith(f"{key} is ")
    assert "must be" in line


@pytest.mark.parametrize("text", ["", '{"model": {\n "d_model": }}', '{"model": {}, "model": {}}', "[" * 10_000])
def test_broken_json(tmp_path: Path, text: str) -> None:
    (line,) = refused(tmp_path, text)
    assert line.startswith("is not valid JSON: ")


def test_missing_file_and_other_encoding(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.json cannot be read: No such file"):
        load_settings(tmp_path / "none.json")
    (tmp_path / "cp949.json").write_bytes('{"swarm": {"run": "가족"}}'.encode("cp949"))
    with pytest.raises(SettingsError, match=r"cp949\.json is not UTF-8"):
        load_settings(tmp_path / "cp949.json")


def test_dumped_settings_are_read_back_the_same() -> None:
    mine = settings(model={"d_model": 64, "nhead": 4}, training={"lr": 1e-3}, swarm={"run": "class-3b"})
    assert parse_settings(dump_settings(mine), "the dump") == mine
    with pytest.raises(SettingsError, match=r"^the letter: model\.width is not a known setting"):
        parse_settings('{"model": {"width": 1}}', "the letter")


def test_what_is_left_out_is_not_dumped_either() -> None:
    """Devices that do not know such a setting yet read the settings of those that do not use it."""
    dumped = dump_settings(Settings())
    assert "checkpoint" not in dumped and "epochs" not in dumped
    mine = settings(model={"checkpoint": "here"}, training={"epochs": 2})
    assert parse_settings(dump_settings(mine), "the dump") == mine


def test_run_id_follows_what_is_shared_and_nothing_else() -> None:
    assert run_id(settings(model={"dropout": 0.1}), "ab" * 32) == "cellmind-81e8b2405fbb", (
        "runs that exist keep their id"
    )
    base = run_id(Settings(), "ab" * 32)
    own = settings(
        model={"checkpoint": "checkpoints/latest"},
        tokenizer={"model_path": "elsewhere.model"},
        training={"batch_size": 1, "epochs": 3, "dataset": {"path": "mine.jsonl", "packed": False}},
    )
    assert run_id(own, "ab" * 32) == base
    assert run_id(Settings(), "cd" * 32) != base
    shared = [
        settings(model={"dropout": 0.2}),
        settings(tokenizer={"vocab_size": 4000}),
        settings(training={"dataset": {"seq_len": 128}}),
        settings(training={"lr": 1e-3}),
        settings(swarm={"averaging": "sync"}),
        settings(swarm={"run": "class"}),
        settings(data={"lower_case": False}),
        settings(data={"speakers": True}),
    ]
    assert len({base, *(run_id(other, "ab" * 32) for other in shared)}) == 1 + len(shared)


def test_differences_say_what_is_here_and_there() -> None:
    theirs = settings(model={"d_model": 128}, training={"batch_size": 64, "lr": 1e-3})
    assert differences(Settings(), theirs) == [
        "model.d_model is 512 here and 128 there",
        "training.lr is 0.0003 here and 0.001 there",
    ]
    assert differences(theirs, theirs) == []


def test_joining_takes_the_runs_identity_and_keeps_the_devices_own() -> None:
    mine = settings(
        model={"checkpoint": "checkpoints/latest"},
        training={"batch_size": 1, "epochs": 3, "dataset": {"path": "mine.jsonl", "packed": False, "seq_len": 64}},
        tokenizer={"model_path": "mine.model"},
    )
    run = settings(model={"d_model": 128}, training={"batch_size": 64, "lr": 1e-3}, swarm={"run": "class"})
    joined = with_identity_of(mine, run)
    assert run_identity(joined) == run_identity(run)
    assert (joined.training.batch_size, joined.training.epochs, joined.training.dataset.packed) == (1, 3, False)
    assert joined.model.checkpoint == Path("checkpoints/latest")
    assert (joined.training.dataset.path, joined.tokenizer.model_path) == (Path("mine.jsonl"), Path("mine.model"))


def test_what_is_nested_deeply_is_refused_at_any_depth(tmp_path: Path) -> None:
    for depth in range(900, 1100):  # where one reader has just enough stack for it, and the next has not
        nested = '{"model": {"d_model": ' + "[" * depth + "]" * depth + "}}"
        with pytest.raises(SettingsError):
            parse_settings(nested.encode(), "theirs")


PAINTED = "\x1b[2J\x9b31m\u202e"  # what a terminal would take for commands


@pytest.mark.parametrize("settings", [{PAINTED: 1}, {"model": {PAINTED: 1}}, {"swarm": {"run": PAINTED}}, PAINTED])
def test_settings_of_another_device_are_no_commands_to_a_terminal(settings: object) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings(json.dumps(settings), "theirs")
    assert str(refused.value).isprintable()


def test_a_misspelt_key_of_any_length_leaves_a_line_that_can_be_read() -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings(json.dumps({"x" * 50_000: 1}), "theirs")
    assert len(str(refused.value)) < 250


def test_a_file_full_of_mistakes_does_not_fill_the_screen() -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings(json.dumps({f"x{number}": 1 for number in range(5000)}), "theirs")
    lines = str(refused.value).splitlines()
    assert len(lines) == 21 and lines[-1] == "theirs: and 4980 more"
