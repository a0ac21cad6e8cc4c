"""Chats written as apps export them. Every message stands behind a message of letters alone, by which it is found again."""

# ruff: noqa: E501, SIM905 (the sentences are to be read, and edited, as text)

from __future__ import annotations

import csv
import html
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

WEEKDAYS = "월화수목금토일"
ENGLISH_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Line:
    when: datetime
    sender: str
    text: str


Lines = list[Line]


def _halves(when: datetime, words: tuple[str, str]) -> tuple[str, int]:
    return words[when.hour >= 12], when.hour % 12 or 12


def _days(lines: Lines) -> Iterator[tuple[datetime | None, Line]]:
    """Every line, with its day where another day begins."""
    before = None
    for line in lines:
        yield (None if line.when.date() == before else line.when), line
        before = line.when.date()


def kakao_android(lines: Lines, joined: list[str]) -> str:
    parts = ["모임 12 님과 카카오톡 대화", "저장한 날짜 : 2026년 5월 16일 오후 4:45", ""]
    stamp = ""
    for day, line in _days(lines):
        half, hour = _halves(line.when, ("오전", "오후"))
        stamp = f"{line.when.year}년 {line.when.month}월 {line.when.day}일 {half} {hour}:{line.when.minute:02}"
        if day:
            parts += ["", stamp]
            parts += [f"{stamp}, {name}님이 들어왔습니다." for name in joined]
            joined = []
        parts.append(f"{stamp}, {line.sender} : {line.text}")
    return "\ufeff" + "\r\n".join(parts)


def kakao_windows(lines: Lines, joined: list[str]) -> str:
    parts = ["모임 님과 카카오톡 대화", "저장한 날짜 : 2026-05-16 10:44:52", ""]
    for day, line in _days(lines):
        half, hour = _halves(line.when, ("오전", "오후"))
        if day:
            parts.append(
                f"--------------- {day.year}년 {day.month}월 {day.day}일 {WEEKDAYS[day.weekday()]}요일 ---------------"
            )
            parts += [f"{name}님이 들어왔습니다." for name in joined]
            joined = []
        parts.append(f"[{line.sender}] [{half} {hour}:{line.when.minute:02}] {line.text}")
    return "\r\n".join(parts)


def kakao_ios(lines: Lines, joined: list[str]) -> str:
    parts = ["모임 (12명)과 카카오톡 대화-1.txt", "저장한 날짜 : 2026. 5. 16. 오전 12:15", ""]
    for day, line in _days(lines):
        half, hour = _halves(line.when, ("오전", "오후"))
        stamp = f"{line.when.year}. {line.when.month}. {line.when.day}. {half} {hour}:{line.when.minute:02}"
        if day:
            parts += ["", f"{day.year}년 {day.month}월 {day.day}일 {WEEKDAYS[day.weekday()]}요일"]
            parts += [f"{stamp}: {name}님이 들어왔습니다." for name in joined]
            joined = []
        parts.append(f"{stamp}, {line.sender} : {line.text}")
    return "\ufeff" + "\r\n".join(parts)


def kakao_english(lines: Lines, joined: list[str]) -> str:
    parts = ["KakaoTalk Chats with Moim", "Date Saved : May 16, 2026, 1:08 PM", ""]
    for day, line in _days(lines):
        stamp = f"{line.when:%B} {line.when.day}, {line.when.year}, {_halves(line.when, ('AM', 'PM'))[1]}:{line.when:%M} {line.when:%p}"
        if day:
            parts += ["", stamp]
            parts += [f"{stamp}, {name} joined this chatroom." for name in joined]
            joined = []
        parts.append(f"{stamp}, {line.sender} : {line.text}")
    return "\ufeff" + "\r\n".join(parts)


def kakao_mac(lines: Lines, joined: list[str]) -> str:
    del joined
    return _csv(
        ["Date", "User", "Message"], ([f"{line.when:%Y-%m-%d %H:%M:%S}", line.sender, line.text] for line in lines)
    )


def _csv(header: list[str], rows: Iterator[list[str]]) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return written.getvalue()


def _whatsapp(pattern: str, joins: str, notice: str) -> Callable[[Lines, list[str]], str]:
    def write(lines: Lines, joined: list[str]) -> str:
        stamp = lines[0].when.strftime(pattern)
        parts = [f"{stamp}{notice}", *(f"{stamp}{joins.format(name)}" for name in joined)]
        parts += [f"{line.when.strftime(pattern)}{line.sender}: {line.text}" for line in lines]
        return "\n".join(parts) + "\n"

    return write


ENCRYPTED = "Messages and calls are end-to-end encrypted. Only people in this chat can read, listen to, or share them."
WHATSAPP = {
    "whatsapp US": _whatsapp("%m/%d/%y, %I:%M %p - ", "{} joined using this group's invite link", ENCRYPTED),
    "whatsapp iOS": _whatsapp("[%d/%m/%Y, %H:%M:%S] ", "Group: \u200e{} was added", "Group: \u200e" + ENCRYPTED),
    "whatsapp DE": _whatsapp(
        "%d.%m.%y, %H:%M - ",
        "{} ist über den Einladungslink dieser Gruppe beigetreten",
        "Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt.",
    ),
    "whatsapp KO": _whatsapp(
        "%Y. %m. %d. %H:%M - ", "{}님이 그룹 초대 링크를 사용하여 참여했습니다", "메시지와 통화는 종단간 암호화됩니다."
    ),
    "whatsapp JA": _whatsapp(
        "%Y/%m/%d %H:%M - ",
        "{}さんがグループの招待リンクを使用して参加しました",
        "メッセージと通話はエンドツーエンドで暗号化されています。",
    ),
    "whatsapp ES": _whatsapp(
        "%d/%m/%Y, %H:%M - ",
        "{} se unió usando el enlace de invitación de este grupo",
        "Los mensajes y las llamadas están cifrados de extremo a extremo.",
    ),
    "whatsapp PT": _whatsapp(
        "%d/%m/%Y %H:%M - ",
        "{} entrou usando o link de convite deste grupo",
        "As mensagens e as ligações são protegidas com a criptografia de ponta a ponta.",
    ),
}


def _line(header: str, saved: str, day_pattern: str, joins: str) -> Callable[[Lines, list[str]], str]:
    def write(lines: Lines, joined: list[str]) -> str:
        parts = [header, saved, ""]
        for day, line in _days(lines):
            if day:
                weekday = WEEKDAYS[day.weekday()] if "요" in day_pattern or "%Y.%m.%d" in day_pattern else f"{day:%a}"
                parts += ["", day.strftime(day_pattern).replace("WEEKDAY", weekday)]
                parts += [f"{line.when:%H:%M}\t{joins.format(name)}" for name in joined]
                joined = []
            quoted = '"' + line.text.replace('"', '""') + '"' if "\n" in line.text else line.text
            parts.append(f"{line.when:%H:%M}\t{line.sender}\t{quoted}")
        return "\n".join(parts) + "\n"

    return write


LINE = {
    "LINE KO": _line(
        "[LINE] 모임님과의 대화", "저장한 날짜: 2026/05/16 12:00", "%Y.%m.%d WEEKDAY요일", "{}님이 그룹에 참여했습니다."
    ),
    "LINE JA": _line(
        "[LINE] モイムのトーク履歴", "保存日時：2026/05/16 12:00", "%Y/%m/%d(WEEKDAY)", "{}がグループに参加しました。"
    ),
    "LINE EN": _line(
        "[LINE] Chat history in Moim", "Saved on: 5/16/2026, 12:00", "%a, %m/%d/%Y", "{} joined the group."
    ),
}


def telegram_json(lines: Lines, joined: list[str]) -> str:
    ids = {name: f"user{position + 1000}" for position, name in enumerate(dict.fromkeys(line.sender for line in lines))}
    messages: list[dict[str, object]] = [
        {
            "id": position,
            "type": "service",
            "date": f"{lines[0].when:%Y-%m-%dT%H:%M:%S}",
            "actor": name,
            "actor_id": f"user{position}",
            "action": "join_group_by_link",
            "text": "",
        }
        for position, name in enumerate(joined)
    ]
    messages += [
        {"id": position + 100, "type": "message", "date": f"{line.when:%Y-%m-%dT%H:%M:%S}", "date_unixtime": str(int(line.when.timestamp())), "from": line.sender, "from_id": ids[line.sender], "text": line.text, "text_entities": [{"type": "plain", "text": line.text}]}
        for position, line in enumerate(lines)
    ]  # fmt: skip
    return json.dumps(
        {"name": "Moim", "type": "private_group", "id": 9, "messages": messages}, ensure_ascii=False, indent=1
    )


def telegram_html(lines: Lines, joined: list[str]) -> str:
    del joined
    head = '<!DOCTYPE html><html><head><meta charset="utf-8"/><title>Exported Data</title></head><body onload="CheckLocation();"><div class="page_wrap"><div class="page_header"><div class="content"><div class="text bold">Moim</div></div></div><div class="page_body chat_page"><div class="history">'
    parts = [head]
    for position, line in enumerate(lines):
        text = html.escape(line.text).replace("\n", "<br>")
        parts.append(
            f'<div class="message default clearfix" id="message{position}"><div class="pull_left userpic_wrap"><div class="userpic userpic1"><div class="initials">A</div></div></div><div class="body">'
            f'<div class="pull_right date details" title="{line.when:%d.%m.%Y %H:%M:%S} UTC+09:00">{line.when:%H:%M}</div><div class="from_name">{html.escape(line.sender)} </div><div class="text">{text}</div></div></div>'
        )
    return "\n".join([*parts, "</div></div></div></body></html>"])


def discord_json(lines: Lines, joined: list[str]) -> str:
    names = list(dict.fromkeys([*(line.sender for line in lines), *joined]))
    authors: dict[str, dict[str, object]] = {
        name: {
            "id": str(10**17 + position),
            "name": f"user_{position}x",
            "discriminator": "0000",
            "nickname": name,
            "isBot": False,
        }
        for position, name in enumerate(names)
    }
    messages: list[dict[str, object]] = [
        {
            "id": str(position),
            "type": "GuildMemberJoin",
            "timestamp": lines[0].when.isoformat(),
            "content": "Joined the server.",
            "author": authors[name],
            "attachments": [],
            "mentions": [],
        }
        for position, name in enumerate(joined)
    ]
    messages += [
        {"id": str(position + 100), "type": "Default", "timestamp": line.when.isoformat(), "timestampEdited": None, "isPinned": False, "content": line.text, "author": authors[line.sender], "attachments": [], "embeds": [], "reactions": [], "mentions": []}
        for position, line in enumerate(lines)
    ]  # fmt: skip
    return json.dumps(
        {
            "guild": {"id": "1", "name": "Moim"},
            "channel": {"id": "2", "type": "GuildTextChat", "name": "talk"},
            "messages": messages,
            "messageCount": len(messages),
        },
        ensure_ascii=False,
    )


def discord_csv(lines: Lines, joined: list[str]) -> str:
    del joined
    names = list(dict.fromkeys(line.sender for line in lines))
    return _csv(
        ["AuthorID", "Author", "Date", "Content", "Attachments", "Reactions"],
        (
            [str(10**17 + names.index(line.sender)), line.sender, line.when.isoformat(), line.text, "", ""]
            for line in lines
        ),
    )


def discord_text(lines: Lines, joined: list[str]) -> str:
    del joined
    parts = ["=" * 62, "Guild: Moim", "Channel: talk", "=" * 62, ""]
    for line in lines:
        parts += [f"[{line.when:%m/%d/%Y %I:%M %p}] {line.sender}", line.text, ""]
    return "\n".join(parts) + "=" * 62 + f"\nExported {len(lines)} message(s)\n" + "=" * 62


def instagram(lines: Lines, joined: list[str]) -> str:
    def broken(text: str) -> str:
        return text.encode().decode("latin-1")

    messages = [
        {
            "sender_name": broken(line.sender),
            "timestamp_ms": int(line.when.timestamp() * 1000),
            "content": broken(line.text),
            "is_geoblocked_for_viewer": False,
        }
        for line in reversed(lines)
    ]
    people = [{"name": broken(name)} for name in dict.fromkeys([*(line.sender for line in lines), *joined])]
    return json.dumps(
        {
            "participants": people,
            "messages": messages,
            "title": "Moim",
            "is_still_participant": True,
            "thread_path": "inbox/moim_1",
        }
    )


def wechat(lines: Lines, joined: list[str]) -> str:
    del joined
    header = "localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent,StrTime,Remark,NickName,Sender".split(
        ","
    )
    rows = (
        [
            str(i),
            "1",
            "1",
            "0",
            "0",
            str(int(line.when.timestamp())),
            "",
            line.text,
            f"{line.when:%Y-%m-%d %H:%M:%S}",
            line.sender,
            line.sender,
            f"wxid_{abs(hash(line.sender)) % 10**9}",
        ]
        for i, line in enumerate(lines)
    )
    return _csv(header, rows)


def zoom(lines: Lines, joined: list[str]) -> str:
    del joined
    return "\n".join(f"{line.when:%H:%M:%S}\t From {line.sender} to Everyone:\n\t{line.text}" for line in lines) + "\n"


def signal(lines: Lines, joined: list[str]) -> str:
    del joined
    parts = ["Conversation: Moim", ""]
    for line in lines:
        parts += [
            f"From: {line.sender}",
            "Type: incoming",
            f"Sent: {line.when:%a, %d %b %Y %H:%M:%S} +0900",
            f"Received: {line.when:%a, %d %b %Y %H:%M:%S} +0900",
            "",
            line.text,
            "",
        ]
    return "\n".join(parts)


def imessage(lines: Lines, joined: list[str]) -> str:
    del joined
    return "\n".join(f"{line.when:%b %d, %Y} {line.when:%I:%M:%S %p}\n{line.sender}\n{line.text}\n" for line in lines)


def google_chat(lines: Lines, joined: list[str]) -> str:
    del joined
    messages = [
        {
            "creator": {"name": line.sender, "email": f"u{len(line.sender)}@x.test", "user_type": "Human"},
            "created_date": f"{line.when:%A, %B %d, %Y at %I:%M:%S %p} UTC",
            "text": line.text,
            "topic_id": str(i),
            "message_id": f"a/{i}",
        }
        for i, line in enumerate(lines)
    ]
    return json.dumps({"messages": messages}, ensure_ascii=False)


def json_lines(lines: Lines, joined: list[str]) -> str:
    del joined
    return (
        "\n".join(json.dumps({"sender": line.sender, "text": line.text}, ensure_ascii=False) for line in lines) + "\n"
    )


def table(lines: Lines, joined: list[str]) -> str:
    del joined
    return (
        "\n".join(["시간\t이름\t내용", *(f"{line.when:%Y-%m-%d %H:%M}\t{line.sender}\t{line.text}" for line in lines)])
        + "\n"
    )


def slack(path: Path, lines: Lines, joined: list[str]) -> None:
    ids = {
        name: f"U{position:08}"
        for position, name in enumerate(dict.fromkeys([*(line.sender for line in lines), *joined]))
    }
    users = [
        {"id": one, "name": f"u.{one.lower()}", "real_name": name, "profile": {"real_name": name, "display_name": name}}
        for name, one in ids.items()
    ]
    messages = [
        {
            "type": "message",
            "subtype": "channel_join",
            "user": ids[name],
            "text": f"<@{ids[name]}> has joined the channel",
            "ts": f"{lines[0].when.timestamp():.6f}",
        }
        for name in joined
    ]
    messages += [
        {
            "type": "message",
            "user": ids[line.sender],
            "text": html.escape(line.text, quote=False),
            "ts": f"{line.when.timestamp():.6f}",
            "client_msg_id": str(i),
        }
        for i, line in enumerate(lines)
    ]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("users.json", json.dumps(users, ensure_ascii=False))
        archive.writestr("channels.json", json.dumps([{"id": "C1", "name": "general", "members": list(ids.values())}]))
        archive.writestr(f"general/{lines[0].when:%Y-%m-%d}.json", json.dumps(messages, ensure_ascii=False))


# Layouts in which the app names who joined, and those in which it does not.
WITH_JOINS: dict[str, tuple[str, Callable[[Lines, list[str]], str]]] = {
    "KakaoTalk Android": ("txt", kakao_android), "KakaoTalk Windows": ("txt", kakao_windows), "KakaoTalk iOS": ("txt", kakao_ios),
    "KakaoTalk English": ("txt", kakao_english), **{name: ("txt", write) for name, write in WHATSAPP.items()},
    **{name: ("txt", write) for name, write in LINE.items()}, "Telegram JSON": ("json", telegram_json),
    "Discord JSON": ("json", discord_json), "Instagram": ("json", instagram),
}  # fmt: skip
OTHERS: dict[str, tuple[str, Callable[[Lines, list[str]], str]]] = {
    "KakaoTalk Mac": ("csv", kakao_mac), "Telegram HTML": ("html", telegram_html), "Discord CSV": ("csv", discord_csv),
    "Discord text": ("txt", discord_text), "WeChat": ("csv", wechat), "Zoom": ("txt", zoom), "Signal": ("txt", signal),
    "iMessage": ("txt", imessage), "Google Chat": ("json", google_chat), "JSON Lines": ("jsonl", json_lines), "table": ("tsv", table),
}  # fmt: skip
LAYOUTS = [*WITH_JOINS, *OTHERS, "Slack"]


def write(folder: Path, number: int, layout: str, lines: Lines, joined: list[str]) -> None:
    """Write one export of that layout."""
    if layout == "Slack":
        slack(folder / f"{number:03}.zip", lines, joined)
        return
    ending, written = WITH_JOINS[layout] if layout in WITH_JOINS else OTHERS[layout]
    (folder / f"{number:03}.{ending}").write_bytes(written(lines, joined).encode())


def times(chance: random.Random, count: int) -> list[datetime]:
    """So many rising times, with a pause of hours now and then."""
    at = datetime(2026, chance.randint(1, 4), chance.randint(1, 28), 9, tzinfo=UTC).timestamp()
    found = []
    for _ in range(count):
        at += chance.randint(20, 90) if chance.random() < 0.97 else chance.randint(4000, 30000)
        found.append(datetime.fromtimestamp(at, UTC))
    return found
