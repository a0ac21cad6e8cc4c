"""Folders and archives of exports: parts, overlaps, what is read again, and what must not do harm."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.formats import files
from data.formats.detect import explain
from data.formats.files import find
from data.prepare import Summary, prepare
from data.texts.cache import Cache

REPOSITORY = Path(__file__).parents[3]
HEADER = "Date,User,Message\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def run(tmp_path: Path, *raw: Path) -> tuple[Summary, str]:
    lines: list[str] = []
    return prepare(raw or tmp_path / "raw", tmp_path / "out", report=lines.append), "\n".join(lines)


def written(tmp_path: Path) -> list[str]:
    """All texts, in order."""
    files = [tmp_path / "out/for-model-training" / name for name in ("train.jsonl", "valid.jsonl")]
    return [json.loads(line)["text"] for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def kakao(said: dict[str, str], sender: str = "김철수") -> str:
    """An Android export with a message at each of these times, `15 1:18`, in December."""
    stamps = ((*at.split(), text) for at, text in said.items())
    return "".join(f"2025년 12월 {day}일 오후 {time}, {sender} : {text}\r\n" for day, time, text in stamps)


def packed(files: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_files_folders_and_archives_at_once(tmp_path: Path) -> None:
    write(tmp_path / "raw/a.txt", "하나\n")
    write(tmp_path / "raw/Kakao Talk/내보내기", kakao({"15 1:18": "둘"}))
    write(tmp_path / "raw/Kakao Talk/사진.JPG", b"\xff\xd8")
    write(tmp_path / "raw/.hidden/b.txt", "숨은 글\n")
    whatsapp: dict[str, str | bytes] = {
        "_chat.txt": "[15/01/24, 10:30:00] Ann: three\n",
        "00001-PHOTO.jpg": b"\xff",
        "__MACOSX/._chat.txt": b"\0",
    }
    write(tmp_path / "raw/WhatsApp Chat.ZIP", packed(whatsapp))
    write(tmp_path / "elsewhere.csv", HEADER + "2026-05-17 09:00:00,민준,넷\n")
    os.mkfifo(tmp_path / "raw/pipe.txt")
    summary, told = run(tmp_path, tmp_path / "raw", tmp_path / "elsewhere.csv")
    assert sorted(written(tmp_path)) == ["three", "넷", "둘", "하나"]
    assert summary.messages == 4
    assert summary.refused == (f"{tmp_path}/raw/pipe.txt: is not a file",)
    assert "2 photos, documents and the like passed over" in told


def test_a_path_that_is_not_there_moves_no_cursor(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J.txt").symlink_to("nowhere")
    assert find([tmp_path])[1] == [f"{tmp_path}/\ufffd[2J.txt: is not there"]


def test_archives_that_could_do_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_MEMBERS", 100)
    bomb = packed({"bomb.txt": b"a" * (65 << 20)})
    inner = packed({"a.txt": "안의 글\n"})
    archives = {
        "bomb.zip": bomb,
        "slip.zip": packed(
            {"../../slipped.txt": "밖으로 나가려는 글\n", "/etc/slipped.txt": "절대 경로\n", "b\x1b[31m.txt": "색\n"}
        ),
        "nested.zip": packed({"inner.zip": inner, "also.txt": inner, "c.txt": "다른 글\n"}),
        "cut.zip": inner[:-30],
        "damaged.zip": inner.replace(b"a.txt", b"a.txt", 1)[:32] + b"\0\0" + inner[34:],
        "many.zip": packed({f"{number}.txt": "" for number in range(101)}),
        "sheet.xlsx.zip": packed({"[Content_Types].xml": "", "xl/sheet.xml": ""}),
    }
    for name, content in archives.items():
        write(tmp_path / "raw" / name, content)
    before = sorted(path for path in tmp_path.rglob("*"))
    summary, _ = run(tmp_path)
    assert sorted(written(tmp_path)) == ["다른 글", "밖으로 나가려는 글", "색", "절대 경로"]
    refused = "\n".join(summary.refused)
    for told in (
        "bomb.zip: would unpack from 0.1 to 68 MB",
        "nested.zip/inner.zip: is a .zip in a .zip",
        "nested.zip/also.txt: is a .zip in a .zip",
        "cut.zip: is a damaged .zip",
        "damaged.zip/a.txt: cannot be read",
        "many.zip: holds 101 files",
        "sheet.xlsx.zip: is an Office document",
    ):
        assert told in refused
    assert len(summary.refused) == 7
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and "out" not in path.parts] == []


def test_damage_in_an_archive_is_named_and_odd_names_are_read(tmp_path: Path) -> None:
    korean = packed({"대화.txt": "글\n"})
    directory = korean.index(b"PK\1\2")
    lzma = packed({"a.txt": "글\n" * 100}, zipfile.ZIP_LZMA)
    archives = {
        "digits.zip": packed({"1" * 5000 + ".txt": "숫자\n"}),
        "nameless.zip": packed({"AAAA": "이름 없는 글\n"}).replace(b"AAAA", bytes(4)),
        "local.zip": korean.replace("대".encode(), b"\xff\xff\xff", 1),
        "offset.zip": korean[: directory + 42] + (len(korean) - 9).to_bytes(4, "little") + korean[directory + 46 :],
        "lzma.zip": lzma[:45] + b"\xff" * 5 + lzma[50:],
    }
    for name, content in archives.items():
        write(tmp_path / "raw" / name, content)
    summary, _ = run(tmp_path)
    assert sorted(written(tmp_path)) == ["숫자", "이름 없는 글"]
    assert [line.split(": ")[0].removeprefix(f"{tmp_path}/raw/") for line in summary.refused] == [
        "local.zip/대화.txt",
        "lzma.zip/a.txt",
        "offset.zip/대화.txt",
    ]


def test_names_in_archives_of_korean_windows(tmp_path: Path) -> None:
    content = packed({"AAAA.txt": "글\n"}).replace(b"AAAA", "대화".encode("cp949"))
    (source,), refused, _ = find([write(tmp_path / "a.zip", content)])
    assert source.name.endswith("a.zip/대화.txt") and not refused


def test_parts_of_one_export_are_one_conversation(tmp_path: Path) -> None:
    for number in range(1, 12):
        write(tmp_path / f"raw/Talk-{number}.txt", kakao({f"15 1:{number + 10}": f"{number}번"}))
    run(tmp_path)
    assert written(tmp_path) == ["\n".join(f"{number}번" for number in range(1, 12))]


def test_overlapping_exports_of_one_chat_are_counted_once(tmp_path: Path) -> None:
    said = {f"15 {hour}:{minute}": f"{hour}시 {minute}분" for hour in range(1, 4) for minute in range(10, 60)}
    said["15 3:05"] = "같은 말"
    times = sorted(said, key=lambda at: (int(at[3]), at))
    first = kakao({at: said[at] for at in times[:100]})
    second = kakao({at: said[at] for at in times[50:]})
    write(
        tmp_path / "raw/old.txt",
        first + "2025년 12월 15일 오후 2:59, 이영희 : 응\r\n2025년 12월 15일 오후 2:59, 이영희 : 응\r\n",
    )
    write(tmp_path / "raw/new.txt", second)
    write(tmp_path / "raw/mac.csv", HEADER + "2025-12-15 15:59:31,김철수,3시 59분\n2025-12-15 16:00:00,김철수,새 말\n")
    summary, _ = run(tmp_path)
    assert (summary.messages, summary.repeated) == (len(said) + 3, 51)
    lines = "\n".join(written(tmp_path)).split("\n")
    assert [line for line in lines if "응" not in line] == [said[at] for at in times] + ["새 말"]
    assert lines.count("응") == 2


def test_exports_from_two_phones_with_their_own_names(tmp_path: Path) -> None:
    chat = [(f"2025년 12월 15일 오후 1:{minute}", minute % 2, f"말 {minute}") for minute in range(10, 30)]
    for name, senders in (("a", ("회원님", "이영희")), ("b", ("김철수", "회원님"))):
        write(tmp_path / f"raw/{name}.txt", "".join(f"{at}, {senders[who]} : {text}\r\n" for at, who, text in chat))
    summary, _ = run(tmp_path)
    assert (summary.messages, summary.repeated) == (20, 20)


def test_different_chats_with_some_same_words_stay_whole(tmp_path: Path) -> None:
    said = {f"15 1:{minute}": f"말 {minute}" for minute in range(10, 30)}
    write(tmp_path / "raw/a.txt", kakao(said))
    write(tmp_path / "raw/b.txt", kakao(said, "이영희"))
    write(tmp_path / "raw/c.txt", kakao({**{at: "다른 " + text for at, text in said.items()}, "15 1:10": "말 10"}))
    summary, _ = run(tmp_path)
    assert (summary.messages, summary.repeated) == (60, 0)


def test_the_chats_of_one_telegram_export_are_different_ones(tmp_path: Path) -> None:
    said = [
        {"type": "message", "date": f"2025-01-15T00:{minute:02d}:00", "from": "Kim", "text": f"말 {minute}"}
        for minute in range(10, 20)
    ]
    write(tmp_path / "raw/result.json", json.dumps({"chats": {"list": [{"messages": said}, {"messages": said}]}}))
    summary, _ = run(tmp_path)
    assert (summary.messages, summary.repeated, summary.same) == (20, 0, 1)
    write(tmp_path / "raw/result.json", json.dumps({"messages": said}))
    write(tmp_path / "raw/again.json", json.dumps({"messages": said[:5]}))
    summary, _ = run(tmp_path)
    assert (summary.messages, summary.repeated) == (10, 5)


def test_every_message_is_accounted_for(tmp_path: Path) -> None:
    content = kakao({"15 1:18": "하나", "15 1:19": "삭제된 메시지입니다.", "15 1:20": "둘"})
    write(tmp_path / "raw/a.txt", content + "2025년 12월 15일 오후 1:21, 김철수님이 나갔습니다.\r\n")
    write(tmp_path / "raw/copy.txt", content)
    write(tmp_path / "raw/b.csv", HEADER + "2026-05-17 09:00:00,민준,둘\n깨진 행\n")
    summary, told = run(tmp_path)
    assert (summary.messages, summary.repeated, summary.system, summary.deleted, summary.broken) == (3, 2, 1, 2, 1)
    assert "b.csv: 1 broken (line 3), left out" in told


def test_nothing_is_read_or_written_again_without_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "raw/a.txt", "하나\n둘\n")
    write(tmp_path / "raw/b.txt", "셋\n")
    first, _ = run(tmp_path)
    read: list[str] = []
    original = Cache._write

    def write_and_tell(*arguments: Any) -> Any:
        read.append(arguments[1])
        return original(*arguments)

    monkeypatch.setattr(Cache, "_write", write_and_tell)
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    times = [path.stat().st_mtime_ns for path in files]
    second, told = run(tmp_path)
    assert second == first and read == [] and "has changed" in told
    assert [path.stat().st_mtime_ns for path in files] == times

    write(tmp_path / "raw/b.txt", "넷\n")
    run(tmp_path)
    assert len(read) == 1
    assert sorted(written(tmp_path)) == ["넷", "둘", "하나"]

    (tmp_path / "raw/b.txt").unlink()
    (tmp_path / "out/for-model-training/valid.jsonl").unlink()
    run(tmp_path)
    assert len(read) == 1
    assert sorted(written(tmp_path)) == ["둘", "하나"]
    assert not any("넷" in path.read_text() for path in (tmp_path / "out/.cache").glob("*.jsonl")), "a copy was kept"


def test_what_was_read_goes_with_the_last_export(tmp_path: Path) -> None:
    cache = tmp_path / "out/.cache"
    export = write(tmp_path / "raw/a.txt", kakao({"15 1:18": "비밀"}))
    run(tmp_path)
    assert cache.stat().st_mode & 0o077 == 0, "others can read what is not masked"
    write(cache / "textonly.txt.1.part", "another process writes it")
    kept = {path.name for path in cache.iterdir()}
    with pytest.raises(DataError, match="no chat export"):
        run(tmp_path, tmp_path / "mistyped")
    assert {path.name for path in cache.iterdir()} == kept
    export.unlink()
    with pytest.raises(DataError, match="no chat export"):
        run(tmp_path)
    assert {path.name for path in cache.iterdir()} == {"state.json", "textonly.txt.1.part"}


def test_a_chat_with_one_person_and_a_file_of_no_use_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "raw/alone.txt", kakao({"15 1:18": "혼잣말"}))
    write(tmp_path / "raw/broken.txt", b"[a] [1:00] x\n" + b"\xff\xfe\n" * 9)
    summary, _ = run(tmp_path)
    assert written(tmp_path) == ["혼잣말"]
    assert summary.refused == (
        f"{tmp_path}/raw/broken.txt, line 2: is neither UTF-8, UTF-16 nor CP949 text; save it as UTF-8",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_leaves_the_old(tmp_path: Path) -> None:
    disk = tmp_path / "out"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", disk], check=True)
    try:
        write(tmp_path / "raw/a.txt", "하나\n둘\n")
        run(tmp_path)
        before = written(tmp_path)
        write(tmp_path / "raw/b.txt", "".join(f"{number}번째 줄에 쓴 글\n" for number in range(50_000)))
        with pytest.raises(DataError, match="No space left on device"):
            run(tmp_path)
        assert written(tmp_path) == before
        assert not list(disk.rglob("*.part"))
        (tmp_path / "raw/b.txt").unlink()
        run(tmp_path)
        assert written(tmp_path) == before
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path / "raw/a.txt", "하나\n")
    with pytest.raises(DataError, match="cannot write /proc/nowhere"):
        prepare(tmp_path / "raw", Path("/proc/nowhere"), report=lambda line: None)


def test_ctrl_c_ends_the_processes_that_clean_many_messages(tmp_path: Path) -> None:
    rows = "".join(f"2026-05-17 09:00:00,민준,{number}번 말\n" for number in range(40_000))
    write(tmp_path / "raw/a.csv", HEADER + rows)
    few = "from data import __main__; from data.texts import workers; workers.WORTH_WORKERS = 1; "
    few += "raise SystemExit(__main__.main())"
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's `&` has it ignored
    command = [sys.executable, "-c", f"{heard}; {few}"]
    command += ["--raw", str(tmp_path / "raw"), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )

    def children() -> list[str]:
        return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    def wait(condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        return condition()

    assert wait(lambda: len(children()) >= 2), "no processes were started"
    started = children()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (130, "stopped; nothing was changed\n")
    assert wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started)), "processes were left behind"
    assert not list((tmp_path / "out").rglob("*.part"))


def test_explain_says_of_a_photo_that_it_is_none(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG")
    assert list(explain(photo)) == [f"{photo}: no chat export; photos, documents and the like are passed over"]


def test_explain(tmp_path: Path) -> None:
    path = write(tmp_path / "chat.csv", kakao({f"15 1:{minute}": f"말\n{minute}\x1b[2J" for minute in range(10, 40)}))
    command = [sys.executable, "-m", "data", "--explain", str(path)]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told[0] == f"{path}: KakaoTalk Android, Korean, utf-8; 50% of its first lines are written so"
    assert told[1] == "  2025-12-15 13:10:00  김철수: 말\ufffd10\ufffd[2J"
    assert len(told) == 13 and told[-1] == "    김철수: never mentioned"
