"""Chats in blocks of lines, LINE for PC, and files in which two layouts were put together."""

from pathlib import Path

import pytest

from tests.exports import parse

LONG = "\n".join(f"줄 {number}" for number in range(11))
END = "=" * 62
DISCORD = f"""{END}
Guild: g
Channel: text / c
{END}

[01/12/2026 3:04 PM] tomr
{LONG}

{{Reactions}}
👍 (2)

[01/13/2026 3:05\u202fPM] nora_f#0001 (pinned)

{{Attachments}}
https://cdn.a.com/x/cat.png?ex=1

[01/13/2026 3:06 PM] tomr
Added Nora Finch to the group.

{END}
Exported 3 message(s)
{END}
"""
IMESSAGE = """Jan 12, 2026  3:04:00 PM (Read by you after 1 minute)
Nora Finch
where
are you?
Tapbacks:
Loved by Tom
    Jan 12, 2026  3:05:00 PM
    Me
    here

Jan 12, 2026  3:04:30 PM Tom named the conversation x

Jan 12, 2026  3:05:00 PM
Me
here
This message responded to an earlier message.

Jan 12, 2026  3:06:00 PM
Me
/Users/me/Library/Messages/Attachments/aa/IMG.HEIC

"""
SIGNAL = """Conversation: Nora Finch (+15555550101)

From: Nora Finch (+15555550101)
Type: incoming
Sent: Mon, 12 Jan 2026 15:04:00 +0900
Received: Mon, 12 Jan 2026 15:04:01 +0900
Reaction: 👍 from Ann Lee

> From: You
> Sent: Mon, 12 Jan 2026 15:03:00 +0900
>
> quoted

two
lines

From: You
Type: outgoing
Sent: Mon, 12 Jan 2026 15:05:00 +0900
Edited: 2 versions

| Version: 2
| Sent: Mon, 12 Jan 2026 15:06:00 +0900
|
| right
|
| Version: 1
| Sent: Mon, 12 Jan 2026 15:05:00 +0900
|
| wrong

Type: group-v2-change
Sent: Mon, 12 Jan 2026 15:07:00 +0900
Received: Mon, 12 Jan 2026 15:07:00 +0900

From: Nora Finch (+15555550101)
Type: incoming
Sent: Mon, 12 Jan 2026 15:08:00 +0900
Attachment: a.jpg (image/jpeg, 5 bytes)

"""
SHORT = """2026-01-12 15:04 Nora Finch: [reply to Ann Lee on 2026-01-12 15:00] yes: no
and more
2026-01-12 15:05 You: [call-history message]
2026-01-12 15:06 You: [2 attachments]
"""
ZOOM = """10:01:02 From Nora Finch to Everyone:
\thello
\tall
10:02:03 From  Tom  to  Nora Finch (Direct Message) : hi
10:02:04 From Tom to Everyone:
\tReacted to "hello" with 👍
10:02:05 From Tom to Everyone:
\tReplying to "hello"

\tme too
"""
LINE = """[LINE] Chat history with Ann Lee
2026.01.12 Monday
15:04 Ann Lee Today I found:
a thing
15:05 Tom Whaat
15:06 Tom unsent a message.
15:07 Nora Finch one
15:07 Nora Finch Two
15:08 Nora Finch three
15:08 Nora Finch four
2026.01.13 Tuesday
15:09 Ann Lee invited Kim Bo to the group.
15:09 Tom Stickers
"""
NOON = "2026-01-12 15:0"
CHATS = {
    "Discord, text": (
        DISCORD,
        [(f"{NOON}4", "tomr", LONG), ("2026-01-13 15:05", "nora_f#0001", "사진")],
        {"Nora Finch"},
        (1, 0),
    ),
    "iMessage, text": (
        IMESSAGE,
        [(f"{NOON}4", "Nora Finch", "where\nare you?"), (f"{NOON}5", "Me", "here"), (f"{NOON}6", "Me", "사진")],
        {"Nora Finch"},
        (0, 0),
    ),
    "Signal (sigtop), text": (
        SIGNAL,
        [(f"{NOON}4", "Nora Finch", "two\nlines"), (f"{NOON}5", "You", "right"), (f"{NOON}8", "Nora Finch", "사진")],
        {"Ann Lee", "Nora Finch"},
        (0, 0),
    ),
    "Signal (sigtop), short text": (
        SHORT,
        [(f"{NOON}4", "Nora Finch", "yes: no\nand more"), (f"{NOON}6", "You", "파일")],
        {"Ann Lee"},
        (1, 0),
    ),
    "Zoom": (
        ZOOM,
        [("", "Nora Finch", "hello\nall"), ("", "Tom", "hi"), ("", "Tom", "me too")],
        {"Nora Finch"},
        (1, 0),
    ),
    "LINE for PC": (
        LINE,
        [
            (f"{NOON}4", "Ann Lee", "Today I found:\na thing"),
            (f"{NOON}5", "Tom", "Whaat"),
            *((f"{NOON}{minute}", "Nora Finch", text) for minute, text in zip("7788", ["one", "Two", "three", "four"])),
            ("2026-01-13 15:09", "Tom", "Stickers"),
        ],
        {"Kim Bo", "Ann Lee"},
        (1, 1),
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("app", CHATS)
def test_chats_in_blocks(tmp_path: Path, app: str, newline: str) -> None:
    content, said, people, left_out = CHATS[app]
    name, messages, counts = parse(tmp_path / "a.txt", content.replace("\n", newline), "utf-8-sig")
    assert (name, messages) == (app, said)
    assert people <= counts.people and (counts.system, counts.deleted) == left_out


@pytest.mark.parametrize(
    "line", ["00:58:0{}\t{}:\t{}\n", "00:58:0{}\t From  {} : {}\n", "00:58:0{} From {} to Everyone: {}\n"]
)
def test_zooms_recordings_and_older_chats(tmp_path: Path, line: str) -> None:
    said = [("Alex K", "it depends: on you"), ("Wheezy", "Did  you?"), ("Alex K", "yes")]
    content = "".join(line.format(second, *one) for second, one in enumerate(said))
    name, messages, _ = parse(tmp_path / "a.txt", content)
    assert name.startswith("Zoom") and [(sender, text) for _, sender, text in messages] == said


@pytest.mark.parametrize("stamp", ["12.01.2026 15:04", "2026-01-12 15:04", "01/12/2026 3:04 PM", "2026. 1. 12. 15:04"])
def test_discords_dates_are_in_the_order_of_their_country(tmp_path: Path, stamp: str) -> None:
    blocks = "".join(f"[{stamp}] {who}\n" + "긴 글\n" * 11 + "\n" for who in ("tomr", "nora_f"))
    name, messages, _ = parse(tmp_path / "a.txt", blocks)
    assert name == "Discord, text"
    assert [(time, sender) for time, sender, _ in messages] == [
        ("2026-01-12 15:04", "tomr"),
        ("2026-01-12 15:04", "nora_f"),
    ]


def test_discord_with_hardly_any_header_and_no_preamble_is_still_discord(tmp_path: Path) -> None:
    content = "".join(f"[01/{day}/2026 3:04 PM] tomr\n{LONG}\n{LONG}\n\n" for day in (12, 13, 14))
    name, messages, _ = parse(tmp_path / "a.txt", content)
    assert name == "Discord, text" and [sender for _, sender, _ in messages] == ["tomr"] * 3


KAKAO = "".join(f"2026년 1월 12일 오후 3:0{minute}, 서나율 : 말 {minute}\n" for minute in range(4))
WHATSAPP = "".join(f"[12.01.26, 15:0{minute}:00] Tom: hi {minute}\n" for minute in range(4))
WINDOWS = "--------------- 2026년 1월 13일 화요일 ---------------\n" + "".join(
    f"[박도담] [오후 3:0{minute}] 응 {minute}\n" for minute in range(4)
)


@pytest.mark.parametrize("parts", [(KAKAO, WHATSAPP), (WHATSAPP, KAKAO), (KAKAO, WINDOWS, KAKAO), (WINDOWS, WHATSAPP)])
def test_a_second_layout_in_one_file_is_read_as_well(tmp_path: Path, parts: tuple[str, ...]) -> None:
    _, messages, counts = parse(tmp_path / "a.txt", "".join(parts))
    alone = [one for part in parts for one in parse(tmp_path / "b.txt", part)[1]]
    assert messages == alone and len(messages) == 4 * len(parts) and not counts.odd


def test_one_quoted_message_is_no_second_layout(tmp_path: Path) -> None:
    _, messages, _ = parse(tmp_path / "a.txt", KAKAO + "[12.01.26, 15:00:00] Tom: quoted\n" + KAKAO)
    assert len(messages) == 8 and messages[3][2] == "말 3\n[12.01.26, 15:00:00] Tom: quoted"


@pytest.mark.parametrize("half", ["p.\u202fm.", "p.\u00a0m.", "P.\u202fM.", "p. m."])
def test_narrow_spaces_anywhere_in_the_half_of_a_day(tmp_path: Path, half: str) -> None:
    content = f"12/1/26, 3:04 {half} - Tom: eins\n13/1/26, 3:05 {half} - Lee: zwei\n"
    name, messages, _ = parse(tmp_path / "a.txt", content)
    assert (name, messages[0]) == ("WhatsApp Android", ("2026-01-12 15:04", "Tom", "eins"))


def test_lines_like_messages_that_no_rule_fits_are_told_with_their_numbers(tmp_path: Path) -> None:
    odd = "2026/01/12 15시경 <서나율> 이상한 줄\n2026/01/12 15:04 <서나율> 이상한 줄\n"
    _, messages, counts = parse(tmp_path / "a.txt", KAKAO + odd)
    assert len(messages) == 4 and counts.odd == [6] and counts.records == 6
