"""Chats as HTML, as Telegram Desktop, DiscordChatExporter and imessage-exporter write them; bombs, and pages cut."""

import time
from pathlib import Path

import pytest

from data.errors import DataError
from tests.exports import parse


def telegram(body: str, classes: str = "message default clearfix") -> str:
    return f'<div class="{classes}" id="message1">\n<div class="body">\n{body}\n</div>\n</div>\n'


def at(time: str) -> str:
    return f'<div class="pull_right date details" title="{time} UTC+09:00">\n{time[11:16]}\n</div>'


TELEGRAM = "".join(
    [
        telegram("12 January 2026", "message service"),
        telegram(
            at("12.01.2026 15:04:05") + '<div class="from_name">\nTom  via @gif\n</div>'
            '<div class="reply_to details">\nIn reply to <a href="#go_to_message0">this message</a></div>'
            '<div class="text">\nhi &amp; &lt;b&gt;<br>two <a href="https://a.com">https://a.com</a>\n</div>'
            '<span class="reactions"><span class="reaction">Nora</span></span>'
        ),
        telegram(at("12.01.2026 15:05:00") + '<div class="text">joined</div>', "message default clearfix joined"),
        telegram(
            at("13.01.2026 15:05:00") + '<div class="from_name">Lee</div><div class="media_wrap clearfix">'
            '<a class="photo_wrap clearfix pull_left" href="x"><div class="title bold">Photo</div></a></div>'
        ),
        telegram(
            at("13.01.2026 15:06:00") + '<div class="forwarded body"><div class="from_name">Nora Finch '
            '<span class="date details" title="01.01.2020 00:00:00"> 01.01.2020</span></div>'
            '<div class="text">old news</div></div>',
            "message default clearfix joined",
        ),
        telegram("Nora invited Kim", "message service"),
    ]
)
TELEGRAM_SAID = [
    ("2026-01-12 15:04:05", "Tom", "hi & <b>\ntwo https://a.com"),
    ("2026-01-12 15:05", "Tom", "joined"),
    ("2026-01-13 15:05", "Lee", "사진"),
    ("2026-01-13 15:06", "Lee", "old news"),
]
DISCORD = """
<div class="chatlog__message-group">
<div class="chatlog__message-container" data-message-id="1"><div class="chatlog__message">
<div class="chatlog__message-aside"><div class="chatlog__reply-symbol"></div></div>
<div class="chatlog__message-primary">
<div class="chatlog__reply"><div class="chatlog__reply-author">Lee</div><div class="chatlog__reply-content">quoted
</div></div>
<div class="chatlog__header"><span class="chatlog__author" title="tomr" data-user-id="1">Tom</span>
<span class="chatlog__timestamp"><a href="#x">01/12/2026 3:04 PM</a></span></div>
<div class="chatlog__content chatlog__markdown"><span class="chatlog__markdown-preserve">hi
<span class="chatlog__markdown-mention" title="nora_f">@Nora Finch</span> <img class="chatlog__emoji" alt="😀">
<img class="chatlog__emoji" alt=":blob:"></span><span class="chatlog__edited-timestamp">(edited)</span></div>
<div class="chatlog__reactions"><span>3</span></div></div></div></div>
<div class="chatlog__message-container"><div class="chatlog__message"><div class="chatlog__message-aside">
<div class="chatlog__short-timestamp" title="01/13/2026 3:05 PM">3:05 PM</div></div>
<div class="chatlog__message-primary">
<div class="chatlog__attachment"><video class="chatlog__attachment-media"></video></div></div></div></div></div>
<div class="chatlog__message-group"><div class="chatlog__message-container"><div class="chatlog__message-primary">
<span class="chatlog__system-notification-author" title="kim_x">Kim</span>
<span class="chatlog__system-notification-content"><span>added </span>
<a class="chatlog__system-notification-link" title="ann_b">Ann B</a></span></div></div></div>
"""
DISCORD_SAID = [
    ("2026-01-12 15:04", "Tom", "hi\n@\u2068Nora Finch\u2069 😀\n(이모티콘)"),
    ("2026-01-13 15:05", "Tom", "동영상"),
]
IMESSAGE = """
<div class="message"><div class="received"><p><span class="timestamp"><a href="sms://x">May 17, 2022  5:29:42 PM</a>
 (Read by you after 2 minutes)</span><span class="sender">Nora Finch</span></p>
<hr><div class="message_part"><span class="bubble">where?</span></div>
<div class="tapbacks"><p>Tapbacks:</p><span class="sender">Tom</span></div>
<div class="replies"><div class="reply"><div class="message"><div class="sent iMessage"><p>
<span class="timestamp">May 17,
 2022  5:30:00 PM</span><span class="sender">Me</span></p>
<span class="bubble">here</span></div></div></div></div></div></div>
<div class="announcement"><p><span class="timestamp">May 17, 2022  5:29:50 PM</span> Tom named the conversation</p>
</div>
<div class="message"><div class="sent iMessage"><p><span class="timestamp">May 17, 2022  5:30:00 PM</span>
<span class="sender">Me</span></p><span class="reply_context">This message responded to an earlier message.</span>
<div class="edited"><table><tr><td><span class="timestamp">x</span></td><td>old</td></tr>
<tr><td><span class="timestamp">Edited 5 seconds later</span></td><td>here</td></tr></table></div></div></div>
<div class="message"><div class="sent iMessage"><p><span class="timestamp">May 17, 2022  5:31:00 PM</span>
<span class="sender">Me</span></p><div class="attachment"><img src="a.jpeg"></div></div></div>
"""
IMESSAGE_SAID = [
    ("2022-05-17 17:29:42", "Nora Finch", "where?"),
    ("2022-05-17 17:30", "Me", "here"),
    ("2022-05-17 17:31", "Me", "사진"),
]
PAGES = {
    "Telegram, HTML": (TELEGRAM, TELEGRAM_SAID, 2, {"Nora Finch", "Kim", "Nora"}),
    "Discord, HTML": (DISCORD, DISCORD_SAID, 1, {"tomr", "Nora Finch", "nora_f", "Kim", "kim_x", "Ann B", "ann_b"}),
    "iMessage, HTML": (IMESSAGE, IMESSAGE_SAID, 1, {"Nora Finch"}),
}


def page(body: str) -> str:
    return f"<!DOCTYPE html>\n<html>\n<head><style>a {{}}</style></head>\n<body>{body}</body>\n</html>\n"


@pytest.mark.parametrize("app", PAGES)
def test_chats_as_html(tmp_path: Path, app: str) -> None:
    body, said, system, people = PAGES[app]
    name, messages, counts = parse(tmp_path / "messages.txt", page(body))
    assert (name, messages, counts.system) == (app, said, system)
    assert people <= counts.people and not counts.broken and not counts.odd


@pytest.mark.parametrize("app", PAGES)
def test_a_page_that_is_cut_is_used_up_to_there(tmp_path: Path, app: str) -> None:
    body, said, _, _ = PAGES[app]
    content = page(body * 3)
    cut = content[: content.rindex(said[-1][2].replace("동영상", "<video").replace("사진", "attachment")[:9])]
    _, messages, counts = parse(tmp_path / "a.html", cut)
    assert messages == [*said, *said, *said][: len(messages)] and len(messages) > 2 * len(said)
    assert counts.broken == [cut.count("\n") + 1]


def test_bombs_of_html_take_no_time(tmp_path: Path) -> None:
    text = '<div class="message default clearfix"><div class="from_name">Tom</div><div class="text">{}</div></div>'
    bombs = ["<div>" * 2000, "<!" * 99_999, "<!--" * 99_999, "&" * 99_999, "<a" + " a" * 99_999, "</x>" * 2000]
    started = time.monotonic()
    for bomb in bombs:
        _, messages, _ = parse(tmp_path / "a.html", page(text.format("hi") + text.format(bomb)))
        assert messages[0] == ("", "Tom", "hi") and len(messages) <= 2
    assert time.monotonic() - started < 60, "hours where time grows with the square"


def test_other_pages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"page or a document .* of no chat that is known"):
        parse(tmp_path / "a.html", page("<p>hi</p>"))
    with pytest.raises(DataError, match="a page of Telegram, HTML without messages"):
        parse(tmp_path / "b.html", page('<p class="message default clearfix'))
