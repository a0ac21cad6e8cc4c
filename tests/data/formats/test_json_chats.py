"""Chats as JSON of many apps: what is said, by whom, whom else the export names, and what is damaged."""

import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.formats import order
from data.formats.companions import COMPANION
from data.formats.detect import detect
from data.formats.files import find
from data.formats.messages import Counts
from data.prepare import prepare
from tests.exports import parse, shown

NINE = 1_768_208_640  # seconds since 1970
LOCAL = [shown(datetime.fromtimestamp(NINE + seconds)) for seconds in (0, 60, 120)]  # as this device shows it


def garbled(text: str) -> str:
    """UTF-8 taken for Latin-1, as Meta writes it."""
    return text.encode().decode("latin-1")


def discord(text: str, name: str = "tomr", nick: str = "Tom", **more: Any) -> dict[str, Any]:
    author = {"id": name, "name": name, "discriminator": "0000", "nickname": nick, "isBot": False}
    return {"type": "Default", "timestamp": "2026-01-12T15:04:00.123+09:00", "content": text, "author": author, **more}


NORA = {"id": "7", "name": "nora_f", "discriminator": "0001", "nickname": "Nora Finch"}
DISCORD = {
    "guild": {"id": "1", "name": "g"},
    "channel": {"id": "2", "name": "c"},
    "messages": [
        discord("hello <@7> <:blob:12>", mentions=[NORA]),
        discord("", attachments=[{"fileName": "cat.PNG"}]),
        discord("Started a call", type="Call"),
        discord("yes", nick="Tom R.", reactions=[{"emoji": {}, "users": [{"name": "lee", "nickname": "Lee"}]}]),
        discord("other", name="tom2", nick="Tom"),
        discord("of a kind to come", type="99"),
    ],
}
META = {
    "participants": [{"name": garbled("서나율")}, {"name": garbled("박도담")}],
    "messages": [
        {"sender_name": garbled("서나율"), "timestamp_ms": (NINE + 120) * 1000, "photos": [{"uri": "a.jpg"}]},
        {"sender_name": garbled("박도담"), "timestamp_ms": (NINE + 90) * 1000, "content": "Reacted ❤ to your message "},
        {
            "sender_name": garbled("박도담"),
            "timestamp_ms": (NINE + 60) * 1000,
            "content": garbled("도담이 왔다 😀 é"),
            "reactions": [{"reaction": "x", "actor": garbled("임아라")}],
        },
        {"sender_name": garbled("서나율"), "timestamp_ms": NINE * 1000, "content": garbled("안녕")},
    ],
}
ENCRYPTED = {
    "participants": ["서나율", "박도담"],
    "threadName": "x",
    "messages": [
        {
            "isUnsent": False,
            "media": [],
            "reactions": [],
            "senderName": "서나율",
            "text": "안녕",
            "timestamp": NINE * 1000,
        },
        {"isUnsent": True, "senderName": "서나율", "text": "", "timestamp": NINE * 1000},
        {"senderName": "박도담", "media": [{"uri": "media/a.mp4"}], "text": "", "timestamp": (NINE + 60) * 1000},
    ],
}


def slack(user: str, text: str, seconds: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": user, "text": text, "ts": f"{NINE + seconds}.000100", **more}


SLACK = [
    slack("U1", "&gt; what you said\nyes &amp; <@U2> see <https://a.com|here>", user_profile={"display_name": "Nora"}),
    slack("U2", "<@U2> has joined the channel", subtype="channel_join"),
    slack("U1", "", 60, files=[{"mimetype": "image/png"}]),
    slack("U2", "a bot", 120, subtype="bot_message", username="Robo"),
]
SLACKDUMP = {
    "channel_id": "C1",
    "name": "general",
    "messages": [
        slack("U1", "up", slackdump_thread_replies=[slack("U1", "up"), slack("U2", "reply", 60)], thread_ts="1"),
        slack("U1", "ask Nora Finch please", 120, user_profile={"real_name": "Nora Finch"}),
    ],
}


def signal(type: str, **more: Any) -> dict[str, Any]:
    return {"conversationId": "c", "type": type, "sent_at": NINE * 1000, **more}


SIGNAL = [
    signal("outgoing", body="for \ufffc", bodyRanges=[{"start": 4, "length": 1, "replacementText": "Nora Finch"}]),
    signal("incoming", body="yes", source="+1", sourceServiceId="aci", quote={"text": "for Nora"}),
    signal("incoming", body="", source="+1", sourceServiceId="aci", attachments=[{"contentType": "audio/aac"}]),
    signal("incoming", body="", deletedForEveryone=True, source="+1"),
    signal("profile-change", profileChange={"oldName": "Ann Old", "newName": "Ann New"}),
]


def google(name: str, text: str, **more: Any) -> dict[str, Any]:
    creator = {"name": name, "email": f"{name.lower()}@a.com", "user_type": "Human"}
    return {"creator": creator, "created_date": "2026-01-12T18:04:00", "text": text, "message_id": "x", **more}


MENTIONED = [{"start_index": 0, "length": 11, "user_mention_metadata": {"type": "MENTION"}}]
GOOGLE = {
    "messages": [
        google("Tom", "@Nora Finch hi", annotations=MENTIONED, quoted_message_metadata={"text": "quoted"}),
        google("Tom", "", message_state="DELETED"),
        google("Lee", "", attached_files=[{"export_name": "File-a.mp4"}]),
    ]
}


def graph(name: str, html: str, **more: Any) -> dict[str, Any]:
    said = {"from": {"user": {"id": name, "displayName": name}}, "body": {"contentType": "html", "content": html}}
    return {"messageType": "message", "createdDateTime": "2026-01-12T15:04:00", **said, **more}


GRAPH = {
    "value": [
        graph("Tom", "<p>b &lt;c&gt;<br>d</p>", createdDateTime="2026-01-12T15:05:00"),
        graph("Lee", '<blockquote>quoted</blockquote><p><at id="0">Nora Finch</at> a</p>'),
        {"messageType": "systemEventMessage", "createdDateTime": "2026-01-12T15:03:00", "from": None, "body": {}},
    ]
}


def skype(name: str, content: str, kind: str = "RichText", minute: int = 4) -> dict[str, Any]:
    time = f"2026-01-12T15:{minute:02d}:00"
    return {
        **{"id": "1", "displayName": name, "originalarrivaltime": time, "messagetype": kind, "content": content},
        "from": f"8:live:{name}",
    }


SKYPE = {
    "userId": "8:live:a",
    "conversations": [
        {
            "id": "x",
            "MessageList": [skype("Tom", "<quote author='x'>q</quote>ok &amp; fine", minute=5), skype("Lee", "하나")],
        },
        {"id": "y", "MessageList": [skype("Lee", "", "Event/Call"), skype("Lee", "", "ThreadActivity/AddMember")]},
    ],
}
FOUR = "2026-01-12 15:04"

CASES: dict[str, tuple[str, Any, list[tuple[str, str, str]], set[str]]] = {
    "discord": (
        "Discord",
        DISCORD,
        [
            (FOUR, "Tom", "hello @\u2068Nora Finch\u2069 (이모티콘)"),
            (FOUR, "Tom", "사진"),
            (FOUR, "Tom", "yes"),
            (FOUR, "Tom (2)", "other"),
            (FOUR, "Tom", "of a kind to come"),
        ],
        {"Nora Finch", "nora_f", "nora_f#0001", "Lee", "tomr", "Tom R."},
    ),
    "meta": (
        "Messenger or Instagram",
        META,
        [(LOCAL[0], "서나율", "안녕"), (LOCAL[1], "박도담", "도담이 왔다 😀 é"), (LOCAL[2], "서나율", "사진")],
        {"임아라", "박도담"},
    ),
    "encrypted": (
        "Messenger, end-to-end encrypted",
        ENCRYPTED,
        [(LOCAL[0], "서나율", "안녕"), (LOCAL[1], "박도담", "동영상")],
        {"서나율"},
    ),
    "slack": (
        "Slack",
        SLACK,
        [
            (LOCAL[0], "Nora", "yes & @\u2068U2\u2069 see https://a.com"),
            (LOCAL[1], "Nora", "사진"),
            (LOCAL[2], "Robo", "a bot"),
        ],
        {"Nora"},
    ),
    "slackdump": (
        "Slack",
        SLACKDUMP,
        [(LOCAL[0], "Nora Finch", "up"), (LOCAL[1], "U2", "reply"), (LOCAL[2], "Nora Finch", "ask Nora Finch please")],
        {"Nora Finch"},
    ),
    "signal": (
        "Signal (sigtop)",
        SIGNAL,
        [(LOCAL[0], "You", "for @\u2068Nora Finch\u2069"), (LOCAL[0], "+1", "yes"), (LOCAL[0], "+1", "음성메시지")],
        {"Nora Finch", "Ann Old", "Ann New"},
    ),
    "google": (
        "Google Chat",
        GOOGLE,
        [("2026-01-12 18:04", "Tom", "@\u2068Nora Finch\u2069 hi"), ("2026-01-12 18:04", "Lee", "동영상")],
        {"Nora Finch", "tom@a.com"},
    ),
    "graph": (
        "Teams (Graph)",
        GRAPH,
        [(FOUR, "Lee", "@\u2068Nora Finch\u2069 a"), ("2026-01-12 15:05", "Tom", "b <c>\nd")],
        {"Nora Finch"},
    ),
    "skype": (
        "Teams or Skype",
        SKYPE,
        [(FOUR, "Lee", "하나"), ("2026-01-12 15:05", "Tom", "ok & fine"), (FOUR, "Lee", "보이스톡")],
        set(),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_chats_as_json(tmp_path: Path, case: str) -> None:
    format, export, said, people = CASES[case]
    content = json.dumps(export, ensure_ascii=case == "meta", indent=1)
    name, messages, counts = parse(tmp_path / "whatever.txt", content)
    assert (name, messages) == (format, said)
    assert people <= counts.people and not counts.broken and not counts.odd


def test_the_newest_first_is_turned_round_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_BLOCK", 7)
    rows = [{"sender_name": "a", "timestamp_ms": (NINE - n) * 1000, "content": f"{n}"} for n in range(300)]
    _, messages, _ = parse(tmp_path / "message_1.json", json.dumps({"participants": [], "messages": rows}))
    assert [text for _, _, text in messages] == [f"{n}" for n in reversed(range(300))]


@pytest.mark.parametrize("case", ["discord", "encrypted", "slack", "google"])
def test_json_that_is_cut_is_used_up_to_there_and_says_so(tmp_path: Path, case: str) -> None:
    content = json.dumps(CASES[case][1], indent=1)
    end = content.rindex('"text"' if case != "discord" else '"content"') + 12
    _, messages, counts = parse(tmp_path / "a.json", content[:end])
    assert messages == CASES[case][2][: len(messages)] and messages
    assert len(counts.broken) == 1 and counts.broken[0] > 5


def test_times_of_no_chat_are_unknown(tmp_path: Path) -> None:
    stamps = [0, -5, 4_300_000_000_000, "x", None, 10**30]
    rows = [{"sender_name": "a", "timestamp_ms": stamp, "content": "x"} for stamp in stamps]
    _, messages, _ = parse(tmp_path / "a.json", json.dumps({"messages": rows}))
    assert messages == [("", "a", "x")] * 6


@pytest.mark.parametrize(
    ("date", "second"),
    [
        ("Monday, January 12, 2026 at 9:04:00\u202fAM UTC", NINE),
        ("2026년 1월 12일 월요일 오전 9시 5분 0초 UTC", NINE + 60),
        ("once", None),
    ],
)
def test_google_chats_dates(tmp_path: Path, date: str, second: int | None) -> None:
    _, messages, _ = parse(tmp_path / "a.json", json.dumps({"messages": [google("Tom", "hi", created_date=date)]}))
    assert messages[0][0] == (shown(datetime.fromtimestamp(second)) if second else "")


USERS = [{"id": "U2", "name": "lee", "profile": {"real_name": "이가온", "display_name": "가온"}}]


@pytest.mark.parametrize("zipped", [False, True])
def test_slacks_people_stand_beside_its_channels(tmp_path: Path, zipped: bool) -> None:
    days = {"general/2026-01-12.json": [slack("U2", "둘"), slack("U1", "<@U2> 그래 가온아")], "users.json": USERS}
    raw = slack_export(tmp_path / "raw", days, zipped)
    found = {source.name.rpartition("/")[2]: source for source in find([raw])[0]}
    counts = Counts()
    messages = list(detect(found["2026-01-12.json"]).format.messages(found["2026-01-12.json"], counts))
    assert [(one.sender, one.text) for one in messages] == [("가온", "둘"), ("U1", "@\u2068가온\u2069 그래 가온아")]
    assert detect(found["users.json"]).format.name == COMPANION
    told: list[str] = []
    prepare(raw, tmp_path / "out", report=told.append)
    texts = "".join(path.read_text() for path in (tmp_path / "out/for-model-training").glob("*.jsonl"))
    assert "<NAME> 그래 <NAME>아" in texts and "가온" not in texts and not any("not used" in line for line in told)


def slack_export(raw: Path, files: dict[str, Any], zipped: bool) -> Path:
    """An export in a folder, in which is an archive or what would be in it."""
    raw.mkdir()
    if zipped:
        with zipfile.ZipFile(raw / "export.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, json.dumps(content))
    for name, content in {} if zipped else files.items():
        (raw / name).parent.mkdir(exist_ok=True)
        (raw / name).write_text(json.dumps(content))
    return raw


# As Slack's own exports have it in nearly every message; of a DM of old, of bots and of some apps it is missing.
PROFILE = {"real_name": "Nora Finch", "display_name": "", "first_name": "Nora", "name": "nfinch", "team": "T0"}
SHARED = {"author_id": "U03ZZ9XY8", "author_name": "Sora Abe", "text": "see you", "is_msg_unfurl": True}
WITHOUT_A_LIST = {
    "general/2026-01-12.json": [
        slack("U02BB3CD4", "<@U01AB2CD3> joined <#C1|general>", subtype="channel_join", inviter="U01AB2CD3"),
        slack("U02BB3CD4", "<@U01AB2CD3> is late again, ask Finch"),
        slack("U01AB2CD3", "no, Nora is here", 60, user_profile=PROFILE, attachments=[SHARED]),
        slack("U09", "<@U03ZZ9XY8|sora> said nfinch and Abe come", 120, bot_id="B1", bot_profile={"name": "Polly"}),
    ],
    "random/2026-01-13.json": [slack("U02BB3CD4", "Finch와 U01AB2CD3는 밥")],
}


@pytest.mark.parametrize("zipped", [False, True])
def test_slack_without_its_list_of_people_is_read_by_ids_and_profiles(tmp_path: Path, zipped: bool) -> None:
    raw = slack_export(tmp_path / "raw", WITHOUT_A_LIST, zipped)
    counts = Counts()
    sources = {source.name.rpartition("/")[2]: source for source in find([raw])[0]}
    said = list(detect(sources["2026-01-12.json"]).format.messages(sources["2026-01-12.json"], counts))
    assert [(one.sender, one.text) for one in said] == [
        ("U02BB3CD4", "@\u2068Nora Finch\u2069 is late again, ask Finch"),
        ("Nora Finch", "no, Nora is here"),
        ("Polly", "@\u2068sora\u2069 said nfinch and Abe come"),
    ]
    assert {"Nora Finch", "Nora", "nfinch", "Sora Abe", "sora"} <= counts.people and counts.system == 1
    told: list[str] = []
    summary = prepare(raw, tmp_path / "out", report=told.append)
    texts = "".join(path.read_text() for path in (tmp_path / "out/for-model-training").glob("*.jsonl"))
    assert summary.messages == 4 and not any(name in texts for name in ("Finch", "Nora", "nfinch", "Abe", "sora"))
    assert "without a name: 1 of Slack's ids (U02BB3CD4); whoever" in "\n".join(told)


@pytest.mark.parametrize("name", ["users.json", "users-T0123ABC.json"])
def test_slack_without_any_name_is_refused_until_there_is_one(tmp_path: Path, name: str) -> None:
    polly = slack("U9", "*Joe* has a polly", bot_id="B1", bot_profile={"name": "Polly"})  # a bot's name is nobody's
    said = [slack("U2", "ask 이가온 please"), slack("U3", "네"), polly]
    raw = slack_export(tmp_path / "raw", {"C1.json": {"channel_id": "C1", "name": "general", "messages": said}}, False)
    with pytest.raises(DataError, match="none of the files"):
        prepare(raw, tmp_path / "out", report=(told := list[str]()).append)
    refusal = "has ids and nobody's name, so names could not be masked; put the export's users.json beside it"
    assert refusal in "\n".join(told)
    (raw / name).write_text(json.dumps(USERS))
    assert prepare(raw, tmp_path / "out", report=told.append).messages == 3, "what was missing is there"
    assert "이가온" not in "".join(path.read_text() for path in (tmp_path / "out").glob("for-model-training/*"))
    assert "1 of Slack's ids (U3)" in "\n".join(told)


def test_what_slackdump_has_twice_is_said_once_and_channels_are_nobody(tmp_path: Path) -> None:
    both = slack("U2", "also to the channel", 60, subtype="thread_broadcast", user_profile={"real_name": "Lee"})
    export = {"messages": [slack("U1", "up", slackdump_thread_replies=[both]), both]}
    _, messages, _ = parse(tmp_path / "C1.json", json.dumps(export))
    assert [text for _, _, text in messages] == ["up", "also to the channel"]
    channels = [{"id": "C1", "name": "general", "creator": "U1", "members": ["U1"]}]
    name, _, counts = parse(tmp_path / "channels.json", json.dumps(channels))
    assert name == COMPANION and not counts.people, "or the word general would be masked"


@pytest.mark.parametrize(
    "lines",
    [
        [{"sender_id": "서나율", "text": "도담아"}, {"sender_id": "박도담", "text": "나율이"}],
        [{"from": {"name": "서나율"}, "text": "도담아"}, {"from": {"name": "박도담"}, "text": "나율이"}],
        [{"who": "서나율", "text": "도담아"}, {"who": "박도담", "text": "나율이"}],
        [
            {"user": {"id": 1, "display_name": "서나율"}, "body": "도담아"},
            {"user": {"display_name": "박도담"}, "body": "나율이"},
        ],
        [
            {"author": {"id": "1", "global_name": "서나율", "username": "nayul90"}, "content": "도담아"},
            {"author": {"id": "2", "global_name": "박도담", "username": "dodam"}, "content": "나율이"},
        ],
        [
            {"talker": {"nickname": "서나율"}, "content": "도담아"},
            {"talker": {"nickname": "박도담"}, "content": "나율이"},
        ],
        [{"보낸사람": "서나율", "메시지": "도담아"}, {"보낸사람": "박도담", "메시지": "나율이"}],
        [{"nick_name": "서나율", "content": "도담아"}, {"nick_name": "박도담", "content": "나율이"}],
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_who_wrote_is_found_under_any_usual_name(tmp_path: Path, lines: list[dict[str, Any]], as_list: bool) -> None:
    content = json.dumps(lines) if as_list else "\n".join(map(json.dumps, lines))
    _, messages, counts = parse(tmp_path / "a.txt", content)
    assert messages == [("", "서나율", "도담아"), ("", "박도담", "나율이")]
    assert counts.people >= ({"nayul90", "dodam"} if "username" in content else set())


def test_a_field_that_may_be_people_is_refused_and_labels_are_not(tmp_path: Path) -> None:
    lines = [{"p": name, "text": "밥"} for name in ("서나율", "박도담", "서나율")]
    with pytest.raises(DataError, match=r'"p" may be who wrote.*call it "sender", or "label"'):
        parse(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)))
    labelled = [
        {"text": "재밌다", "label": label, "lang": "ko", "note": f"{n} 번째"} for n, label in enumerate("01" * 9)
    ]
    _, messages, _ = parse(tmp_path / "a.jsonl", "\n".join(map(json.dumps, labelled)))
    assert messages == [("", None, "재밌다")] * 18


def test_of_telegrams_kinds_that_are_not_known_the_text_is_kept(tmp_path: Path) -> None:
    rows = [
        {
            "id": 1,
            "type": "rich_message",
            "date": "2026-01-12T15:04:00",
            "from": "Tom",
            "from_id": "user1",
            "text": "여기",
        },
        {"id": 2, "type": "message", "date": "2026-01-12T15:04:00", "from": "Tommy", "from_id": "user1", "text": "또"},
        {"id": 3, "type": "service", "date": "2026-01-12T15:04:00", "actor": "Tom", "members": ["임아라"], "text": ""},
        {"id": 4, "type": "message", "from": "Lee", "text": [{"type": "mention_name", "text": "Nora Finch"}, " 안녕"]},
        {"id": 5, "kind": "?"},
    ]
    name, messages, counts = parse(tmp_path / "a.json", json.dumps({"name": "방", "messages": rows}, indent=1))
    assert name == "Telegram"
    assert messages == [(FOUR, "Tom", "여기"), (FOUR, "Tom", "또"), ("", "Lee", "@\u2068Nora Finch\u2069 안녕")]
    assert {"임아라", "Nora Finch", "Tommy"} <= counts.people and counts.system == 1
    assert len(counts.broken) == 1, "an item that no rule fits is told with its line"
