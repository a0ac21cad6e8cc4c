"""A report: the run in one file, with no names unless they are asked for, also from several devices' folders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from peer.__main__ import main
from peer.page.control import NotDone
from peer.page.report import write_report
from peer.page.snapshot import write_snapshot
from tests.peer.page.folders import append, fill, row, snapshot


def data_in(path: Path) -> dict[str, Any]:
    """Return what a report shows."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_report_names_nobody_unless_asked(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints")
    path = tmp_path / "night.html"
    write_report(path, [tmp_path / "checkpoints"], with_names=False)
    text = path.read_text(encoding="utf-8")
    shown = data_in(path)
    assert [peer["name"] for peer in shown["snapshot"]["peers"]] == ["device 1", "device 2", "device 3"]
    assert shown["metrics"]["tokens_per_second"] == {"device 1": [10.0] * 3, "device 3": [5.0] * 3}
    assert [peer["share"] for peer in shown["snapshot"]["peers"]] == pytest.approx([2 / 3, 0, 1 / 3])
    for word in ('"desk"', '"phone"', "10.0.0.1", "chat.csv", "alert(1)"):
        assert word not in json.dumps(shown)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text), "it loads nothing"
    write_report(path, [tmp_path / "checkpoints"], with_names=True)
    assert "desk" in data_in(path)["metrics"]["tokens_per_second"]


def test_the_rounds_of_several_devices_are_put_together(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    fill(here)
    (there / "cellmind").mkdir(parents=True)
    write_snapshot(there, snapshot(device=snapshot().device.model_copy(update={"name": "phone"})))
    other = {key: value for key, value in row(4).items() if key != "speeds"}
    append(there / "cellmind" / "metrics.jsonl", [{**row(2), "right_share": 0.5}, {**other, "tokens_per_second": 7.0}])
    append(there / "cellmind" / "metrics.jsonl", [{**row(9), "run_id": "another"}, {"run_id": row(1)["run_id"]}])
    write_report(tmp_path / "night.html", [here, there], with_names=True)
    metrics = data_in(tmp_path / "night.html")["metrics"]
    assert metrics["round"] == [1, 2, 3, 4] and metrics["right_share"] == [None, 0.5, None, None]
    assert metrics["tokens_per_second"]["phone"][-1] == 7.0


def test_without_a_run_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(NotDone, match="nothing is known yet"):
        write_report(tmp_path / "night.html", [tmp_path], with_names=False)
    write_snapshot(tmp_path, snapshot(run=snapshot().run.model_copy(update={"id": "", "name": ""})))
    with pytest.raises(NotDone, match="no run was trained"):
        write_report(tmp_path / "night.html", [tmp_path], with_names=False)
    assert not (tmp_path / "night.html").exists()


def test_a_folder_without_the_run_is_refused_and_a_file_of_before_is_said_to_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here, path = tmp_path / "here" / "checkpoints", tmp_path / "night.html"
    fill(here)
    monkeypatch.setattr("peer.__main__.keep_private", lambda: None)  # which would outlast this test

    def report(*folders: Path) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["peer", "--checkpoints", str(here), "--report", str(path), *map(str, folders)])
        code, said = main(), capsys.readouterr()
        return code, said.out + said.err

    code, said = report(tmp_path / "here")
    assert code == 2 and "has no rounds of run" in said and not path.exists()
    assert report() == (0, f"wrote {path}\n")
    assert report(here) == (0, f"replaced {path}\n")
