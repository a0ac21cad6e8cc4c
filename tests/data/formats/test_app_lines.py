"""What apps say themselves, in the languages that are used most: counted, never learnt, and its people known."""

from pathlib import Path

import pytest

from data.formats.app_lines import people_named
from data.formats.messages import is_deleted
from data.masking.cleaning import clean
from data.masking.names import mentioned
from tests.exports import parse

DELETED = (
    """
This message was deleted|You deleted this message|Diese Nachricht wurde gelöscht|Du hast diese Nachricht gelöscht
Ce message a été supprimé|Vous avez supprimé ce message|Se eliminó este mensaje|Eliminaste este mensaje
Esta mensagem foi apagada|Você apagou esta mensagem|Mensagem apagada|Questo messaggio è stato eliminato
Hai eliminato questo messaggio|Bu mesaj silindi|Bu mesajı sildiniz|Pesan ini dihapus|Anda menghapus pesan ini
Данное сообщение удалено|Вы удалили данное сообщение|تم حذف هذه الرسالة|このメッセージは削除されました
メッセージの送信を取り消しました|此消息已删除|您刪除了此訊息|你收回了訊息|메시지가 삭제되었습니다
""".strip()
    .replace("\n", "|")
    .split("|")
)


@pytest.mark.parametrize("notice", DELETED)
def test_deletions_in_every_language(notice: str) -> None:
    assert is_deleted(f"\u200e{notice}.") and clean(notice) == ""


@pytest.mark.parametrize(
    "text", ["이 메시지 삭제해 줘", "I deleted this message by accident", "du hast diese", "この メッセージ", "deleted"]
)
def test_what_people_say_of_deletions_stays(text: str) -> None:
    assert not is_deleted(text)


MEDIA = {
    "<PHOTO>": "<Médias omis>|<Medien ausgeschlossen>|<Multimedia omitido>|<Arquivo de mídia oculto>|<Media omessi>"
    "|<Medya dahil edilmedi>|<Media tidak disertakan>|<Без медиафайлов>|<メディアなし>|<媒体未包含>|<省略多媒體檔案>"
    "|\u200eBild weggelassen|\u200eimage absente|\u200eimagen omitida|\u200eimmagine omessa"
    "|\u200e画像は含まれていません"
    "|IMG-20240821-WA0001.jpg (Datei angehängt)|IMG-1.jpg (fichier joint)"
    "|IMG-1.jpg (archivo adjunto)|IMG-1.jpg (dosya ekli)"
    "|\u200e<Anhang: 00000012-PHOTO-2024-01-01.jpg>|\u200e<adjunto: 0001-PHOTO.jpg>|<pièce jointe : 0001-PHOTO.jpg>",
    "<MOVIE>": "\u200eVideo weggelassen|\u200evidéo absente|\u200evídeo omitido"
    "|VID-1.mp4 (arquivo anexado)|\u200e動画は含まれていません",
    "<VOICE>": "\u200eAudio weggelassen|\u200eaudio omis|PTT-1.opus (file allegato)|\u200eаудио отсутствует",
    "<EMOJI>": "\u200eSticker weggelassen|\u200esticker omitido|\u200eçıkartma dahil edilmedi",
    "<FILE>": "Rechnung.docx (Datei angehängt)|\u200eDokument weggelassen|\u200edocumento omitido",
    "<CALL>": "Missed voice call, Tap to call back|Voice call. 2 min|Video call. No answer"
    "|\u200eMissed video call. Tap to call back"
    "|Group voice call. 12 min 4 sec|\u200eVoice call, Answered on other device"
    "|Verpasster Sprachanruf|Appel vocal manqué"
    "|Llamada de voz perdida|Cevapsız sesli arama|☎ 通話時間 0:30|不在着信|未接语音通话",
}


@pytest.mark.parametrize(("tag", "texts"), MEDIA.items())
def test_media_in_every_language(tag: str, texts: str) -> None:
    for text in texts.split("|"):
        assert clean(text) == tag, text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("bis gleich \u200e<Diese Nachricht wurde bearbeitet.>", "bis gleich"),
        ("hasta luego <Se editó este mensaje>", "hasta luego"),
        ("voice call me later", "voice call me later"),
        ("<우리 집 앞>", "<우리 집 앞>"),
        ("das bild weggelassen hat er", "das bild weggelassen hat er"),
        ("report (final)", "report (final)"),
    ],
)
def test_edits_go_and_what_people_write_stays(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "line",
    [
        'Ann changed the group name to "A: B"',
        "Ann added Nora Finch",
        "Ann left",
        "Ann hat Nora Finch hinzugefügt",
        'Ann hat den Betreff geändert zu "Neu: 2026"',
        "Ann a ajouté Nora Finch",
        "Ann añadió a Nora Finch",
        "Ann adicionou Nora Finch",
        "Ann ha aggiunto Nora Finch",
        "Ann, Nora Finch kişisini ekledi",
        "Ann menambahkan Nora Finch",
        "Ann добавила Nora Finch",
        "Ann добавил(а) Nora Finch",
        "Ann удалил(а) Nora Finch",
        "Annがグループ名を変更しました",
        "AnnがNora Finchを追加しました",
        "Ann添加了Nora Finch",
    ],
)
@pytest.mark.parametrize("mark", ["", "\u200e"])
def test_lines_of_the_app_in_every_language(tmp_path: Path, line: str, mark: str) -> None:
    content = f"01/20/19, 11:21 - {mark}{line}\n01/20/19, 11:23 - Ann: hi\n01/20/19, 11:24 - Bob: hello\n"
    _, messages, counts = parse(tmp_path / "a.txt", content)
    assert [(sender, text) for _, sender, text in messages] == [("Ann", "hi"), ("Bob", "hello")]
    assert counts.system == 1 and "Ann" in counts.people
    assert not any("グループ" in name for name in counts.people)
    if "Nora" in line:
        assert "Nora Finch" in counts.people


def test_a_group_that_speaks_is_the_app(tmp_path: Path) -> None:
    lines = [
        "Our group: Ann added Nora Finch",
        "Our group: Ann changed the group description",
        "Ann: Bob left",
        "Ann: ok",
    ]
    content = "".join(f"[01/01/19, 11:25:0{place}] {line}\n" for place, line in enumerate(lines))
    _, messages, counts = parse(tmp_path / "a.txt", content)
    assert [(sender, text) for _, sender, text in messages] == [("Ann", "Bob left"), ("Ann", "ok")]
    assert counts.system == 2 and counts.people >= {"Ann", "Nora Finch"}


@pytest.mark.parametrize("line", ["John Doe:.", "John Doe:ok", "John Doe: hi", "John Doe:?!"])
def test_a_message_without_a_space_is_one(tmp_path: Path, line: str) -> None:
    _, messages, counts = parse(tmp_path / "a.txt", f"01/20/19, 11:21 - {line}\n01/20/19, 11:23 - Ann: hi\n")
    assert [sender for _, sender, _ in messages] == ["John Doe", "Ann"] and counts.system == 0


@pytest.mark.parametrize(
    "notice",
    ["메시지가 삭제되었습니다.", "삭제된 메시지입니다.", "관리자가 메시지를 가렸습니다.", "This message was deleted."],
)
def test_kakaotalk_for_windows_says_it_in_a_bare_line(tmp_path: Path, notice: str) -> None:
    day = "--------------- 2026년 1월 4일 일요일 ---------------\n"
    _, messages, counts = parse(tmp_path / "a.txt", f"{day}[가] [오후 1:02] 안녕\n{notice}\n[나] [오후 1:03] 응\n")
    assert [text for _, _, text in messages] == ["안녕", "응"] and counts.deleted == 1


@pytest.mark.parametrize("name", ["시스템", "System", "알림", "오픈채팅봇"])
def test_the_app_under_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    rows = [f"2026-01-04 19:02:00,{name},임아라님이 들어왔습니다.", "2026-01-04 19:03:00,서나율,아라야 안녕"]
    _, messages, counts = parse(tmp_path / "a.csv", "Date,User,Message\n" + "\n".join(rows) + "\n")
    assert [text for _, _, text in messages] == ["아라야 안녕"]
    assert counts.system == 1 and counts.people == {"임아라"}


@pytest.mark.parametrize("half", ["p.\u202fm.", "p.\u00a0m.", "p. m.", "PM"])
def test_narrow_spaces_within_the_half_of_the_day(tmp_path: Path, half: str) -> None:
    _, messages, _ = parse(
        tmp_path / "a.txt", f"15/1/24, 10:30\u202f{half} - Ann: hi\n16/1/24, 9:00\u202f{half} - Bob: ho\n"
    )
    assert [time for time, _, _ in messages] == ["2024-01-15 22:30", "2024-01-16 21:00"]


def test_people_of_the_apps_lines() -> None:
    assert people_named("홍길동님이 김철수님과 이영희님을 초대했습니다.") == ["홍길동", "김철수", "이영희"]
    assert people_named("Kim invited Lee Ann and Bo Park.") == ["Kim", "Lee Ann", "Bo Park"]
    assert people_named("Your security code with Nora Finch changed. Tap to learn more.") == ["Nora Finch"]
    assert people_named("Messages and calls are end-to-end encrypted.") == []


def test_telegram_names_people_beside_its_messages(tmp_path: Path) -> None:
    when = '"date":"2026-01-04T19:02:00"'
    invited = (
        f'{{"id":1,"type":"service",{when},"actor":"Ann","action":"invite_members","members":["Nora Finch",null]}}'
    )
    mention = '["ask ",{"type":"mention_name","text":"Bo Reid","user_id":5}," now"]'
    said = f'{{"id":2,"type":"message",{when},"from":"Ann","text":{mention}}}'
    _, messages, counts = parse(tmp_path / "a.json", f'{{"name":"x","messages":[{invited},{said}]}}')
    assert counts.people == {"Ann", "Nora Finch", "Bo Reid"} and counts.system == 1
    assert [clean(text) for _, _, text in messages] == ["ask <NAME> now"]
    assert [name for _, _, text in messages for name in mentioned(text)] == ["Bo Reid"]
