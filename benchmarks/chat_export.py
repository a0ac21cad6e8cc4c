"""Time a large chat from export to ids:  python -m benchmarks.chat_export --messages 1000000 --corpus FILE

Makes a KakaoTalk export with so many messages of eight people, whose texts are lines of the corpus, in part joined with
a name, laughter, a number or a link, and runs `python -m data` on it, then encodes the texts; and both again, without
any change. The tokenizer is trained in between and not counted. Prints seconds, processor seconds and the most memory
of all processes together (proportional set size), and writes chat_export.json.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

PEOPLE = "김철수 이영희 박민준 최서연 정하늘 강도윤 조은우 윤지아".split()  # noqa: SIM905
ENCODE = """
import sys
from pathlib import Path
import tokenizer
from minigpt.encoding import encode
model = Path(sys.argv[2])
print(encode(Path(sys.argv[1]), tokenizer.load(model), tokenizer_sha256="benchmark"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chat_export", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--messages", type=int, default=1_000_000, help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("chat_export.json"))
    arguments = parser.parse_args()
    lines = arguments.corpus.read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory(prefix="cellmind-chat-") as name:
        folder = Path(name)
        export = folder / "raw" / "chat.txt"
        write_export(export, lines, arguments.messages)
        print(f"{arguments.messages:,} messages, {export.stat().st_size / 1e6:.0f} MB", flush=True)
        data = [sys.executable, "-m", "data", "--raw", str(folder / "raw"), "--output", str(folder)]
        texts = folder / "for-tokenizer-training" / "textonly.txt"
        train = [sys.executable, "-m", "tokenizer", "--input", str(texts), "--output-dir", str(folder / "tokenizer")]
        model = folder / "tokenizer" / "minigpt.model"
        encode = [sys.executable, "-c", ENCODE, str(folder / "for-model-training" / "train.jsonl"), str(model)]
        rows = {"export to texts": measured(data)}
        subprocess.run([*train, "--vocab-size", "8000"], check=True, stdout=subprocess.DEVNULL)
        rows["texts to ids"] = measured(encode)
        rows["export to texts, again"] = measured(data)
        rows["texts to ids, again"] = measured(encode)
    arguments.output.write_text(json.dumps(rows, indent=2))
    print("\n| step | seconds | processor seconds | MB |\n| --- | --- | --- | --- |")
    for step, row in rows.items():
        print(f"| {step} | {row['seconds']:.1f} | {row['processor']:.1f} | {row['megabytes']:.0f} |")


def write_export(path: Path, lines: list[str], messages: int) -> None:
    """An export of KakaoTalk for Android, the same every time."""
    chance = random.Random(1)
    time = datetime(2015, 1, 1, 9)
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        file.write("우리 방 8 님과 카카오톡 대화\r\n저장한 날짜 : 2026년 2월 16일 오후 4:45\r\n\r\n\r\n")
        for _ in range(messages):
            time += timedelta(seconds=chance.choice((5, 20, 60, 300)) if chance.random() < 0.97 else 20_000)
            text = chance.choice(lines)
            if (kind := chance.random()) < 0.3:
                name = chance.choice(PEOPLE)[1:]
                extra = (f"{name}야 ", f"{name} ", f"{chance.randint(1, 99)}시 ", "https://a.com/b ", "ㅋㅋㅋㅋㅋㅋ ")
                text = chance.choice(extra) + text
            elif kind < 0.4:
                text = chance.choice(("사진", "이모티콘", "동영상", "삭제된 메시지입니다."))
            elif kind < 0.45:
                text += "\n" + chance.choice(lines)
            half = "오전" if time.hour < 12 else "오후"
            stamp = f"{time.year}년 {time.month}월 {time.day}일 {half} {time.hour % 12 or 12}:{time.minute:02d}"
            file.write(f"{stamp}, {chance.choice(PEOPLE)} : {text}\r\n")


def measured(command: list[str]) -> dict[str, float]:
    """Run it to its end: seconds, processor seconds and the most memory of it and its children at a time."""
    before = os.times()
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, sum(map(memory, family(process.pid))))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": time.monotonic() - start, "processor": processor, "megabytes": most / 1e6}


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(member for child in children for member in family(int(child)))]


def memory(pid: int) -> int:
    """Bytes of a process, with its share of what it has in common with others."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    main()
