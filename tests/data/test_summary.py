"""The summary of what was read: who wrote how much and when, without a name."""

import json
import subprocess
import sys
from pathlib import Path

from data.texts.summary import Summary

REPOSITORY = Path(__file__).parents[2]


def test_python_m_data_summary_says_who_wrote_how_much_and_when(tmp_path: Path) -> None:
    rows = [f"2026-0{1 + number // 8}-12 1{number % 2}:05:00,서나율,도담아 밥 먹자 {number}" for number in range(12)]
    rows += [f"2026-02-13 20:0{number}:00,박도담,응 010-5555-010{number}" for number in range(4)]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.csv").write_text("Date,User,Message\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "raw/again.csv").write_text("Date,User,Message\n" + "\n".join(rows[:9]) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "data", "--summary", "--raw", str(tmp_path / "raw"), "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    _, _, told = done.stdout.partition("\n\n")
    assert told.startswith("16 messages of 2 people, 2026-01-12 to 2026-02-13, on 3 days\n\nwho ")
    assert "\nP1              12  75.0%         122       10.2       11\nP2               4  25.0%" in told
    assert f"\nby month\n2026-01          8 {'█' * 30}\n2026-02          8 {'█' * 30}\n" in told
    assert f"\n10               6 {'█' * 30}\n11               6 {'█' * 30}\n12               0\n" in told
    assert "\n<NAME>          12\n<PHONE>          4\n" in told
    assert "나율" not in told and "도담" not in told


def test_people_without_a_line_of_their_own_are_summed_up_and_documents_left_out() -> None:
    summary = Summary()
    summary.take([(None, f"사람 {number}", "안녕" * (30 - number)) for number in range(30) for _ in range(31 - number)])
    summary.take([(None, None, "문서")])
    lines = list(summary.lines({}))
    assert lines[0] == f"{sum(range(2, 32)):,} messages of 30 people" and "10 more" in lines[-1] and "P20" in lines[-2]
    assert list(Summary().lines({"<NAME>": 3})) == ["no messages with senders: there is nothing to sum up"]
    assert "사람" not in json.dumps(lines, ensure_ascii=False)
