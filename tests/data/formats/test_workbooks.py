"""Chats as tables of any kind: columns by name and by content, Excel's, OpenDocument's and Parquet, and bad ones."""

import builtins
import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from data.errors import DataError
from data.formats import files, workbooks
from data.formats.detect import detect
from data.formats.files import find
from data.formats.messages import Counts
from tests.exports import parse, shown

ROWS = [
    ["Date", "User", "Message"],
    ["2026-01-12 15:04:00", "서나율", "NA"],
    ["2026-01-12 15:05:00", "박도담", "010 & <b>\n둘째 줄"],
    ["2026-01-12 15:06:00", "서나율", "1"],
]
SAID = [
    ("2026-01-12 15:04", "서나율", "NA"),
    ("2026-01-12 15:05", "박도담", "010 & <b>\n둘째 줄"),
    ("2026-01-12 15:06", "서나율", "1"),
]


def packed(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def excel(rows: list[list[str]], **more: str) -> bytes:
    """A workbook with one sheet, as small as Excel takes it."""
    cells = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{escape(cell)}</t></is></c>' for cell in row) + "</row>"
        for row in rows
    )
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    files = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="a" sheetId="1" r:id="s"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}"><Relationship Id="s" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
    }
    return packed({**files, **more})


def opendocument(rows: list[list[str]], repeated: int = 1, manifest: str = "") -> bytes:
    def cell(text: str) -> str:
        lines = "".join(f"<text:p>{escape(line)}</text:p>" for line in text.split("\n"))
        many = f' table:number-columns-repeated="{repeated}"' if repeated > 1 else ""
        return f'<table:table-cell office:value-type="string"{many}>{lines}</table:table-cell>'

    body = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    end = '<table:table-row table:number-rows-repeated="1048000">'
    end += '<table:table-cell table:number-columns-repeated="16384"/>'
    urn = "urn:oasis:names:tc:opendocument:xmlns"
    names = " ".join(f'xmlns:{name}="{urn}:{name}:1.0"' for name in ("office", "table", "text"))
    content = (
        f"<office:document-content {names}><office:body><office:spreadsheet><table:table table:name='a'>{body}{end}"
        "</table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    return packed({"mimetype": kind, "META-INF/manifest.xml": manifest, "content.xml": content})


def parquet(rows: list[list[str]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    header, *body = rows
    columns: dict[str, Any] = {name: [row[place] for row in body] for place, name in enumerate(header)}
    columns["Date"] = [datetime.fromisoformat(time) for time in columns["Date"]]
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("write", "name", "library"),
    [
        (excel, "Excel sheet", "python_calamine"),
        (opendocument, "OpenDocument sheet", "python_calamine"),
        (parquet, "Parquet table", "pyarrow"),
    ],
)
def test_sheets_are_read_as_text_whatever_they_are_called(tmp_path: Path, write: Any, name: str, library: str) -> None:
    pytest.importorskip(library)
    found, messages, counts = parse(tmp_path / "chat.bin", write(ROWS))
    assert (found, messages, counts.broken) == (name, SAID, [])


def test_tables_in_an_archive_are_read_like_the_tables_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("python_calamine")
    pytest.importorskip("pyarrow")
    lines = "\n".join(",".join(f'"{cell}"' for cell in row) for row in ROWS)
    large = excel([["Date", "User", "Message"], *([["2026-01-12 15:04", "a", f"{n:x}"] for n in range(9000)])])
    tables = {
        **{"1.csv": lines.encode(), "2.tsv": lines.replace('","', '"\t"').encode(), "3.xlsx": excel(ROWS)},
        **{"가/4.ods": opendocument(ROWS), "5.parquet": parquet(ROWS), "6": excel(ROWS)},
        **{"7.xlsx": excel(ROWS, **{"xl/vbaProject.bin": "x"}), "8.xls": LOCKED, "9.xlsx": large},
        **{"a.json.gz": b"\x1f\x8b" + bytes(20), "b.sqlite": b"SQLite format 3\0" + bytes(20)},
    }
    monkeypatch.setattr(files, "MOST_IN_MEMORY", len(large) - 1)
    with zipfile.ZipFile(tmp_path / "tables.zip", "w") as archive:
        for name, content in tables.items():
            archive.writestr(name, content)
    sources, refused, _ = find([tmp_path])
    said = {}
    for source in sources:
        try:
            said[source.member_name] = [
                (shown(one.time), one.sender, one.text) for one in detect(source).format.messages(source, Counts())
            ]
        except DataError as error:
            refused.append(str(error))
    assert said == dict.fromkeys(("1.csv", "2.tsv", "3.xlsx", "가/4.ods", "5.parquet", "6"), SAID)
    for told in (
        "tables.zip/7.xlsx: holds macros",
        "tables.zip/8.xls: is locked with a password",
        "tables.zip/9.xlsx: has more than 0 MB in a .zip; unpack it first",
        "tables.zip/a.json.gz: is packed with gzip; unpack it first",
        "tables.zip/b.sqlite: is a database; export the chat as text, JSON or a table",
    ):
        assert told in "\n".join(refused)
    assert len(refused) == 5


def test_a_sheet_without_a_header_is_told_by_what_stands_in_it(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    rows = [["7", text, who, when] for when, who, text in ROWS[1:]]
    assert parse(tmp_path / "a.xlsx", excel(rows))[1] == SAID


LOCKED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le")
ENCRYPTED = "<manifest:manifest><manifest:encryption-data/></manifest:manifest>"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (excel(ROWS, **{"xl/vbaProject.bin": "x"}), "holds macros; save it as .xlsx without them"),
        (LOCKED, "is locked with a password; save it without one"),
        (LOCKED[:600], "is of Office before 2007; save it as .xlsx or CSV"),
        (opendocument(ROWS, manifest=ENCRYPTED), "is locked with a password"),
        (excel([["가" * 99] * 3] * 9000), "would unpack to more than 512 MB"),
        (opendocument(ROWS, repeated=99_999), "repeats 1,199,988 cells"),
        (excel(ROWS)[:-40], "is a damaged .zip"),
    ],
)
def test_sheets_of_no_use_are_refused_with_what_to_do(
    tmp_path: Path, content: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "MOST_UNPACKED", 1 << 20)
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        _, refused, _ = find([path])
        if refused:
            raise DataError(refused[0])
        parse(path, content)
    assert str(caught.value).startswith(f"{path}: {told}"), "what is wrong, once"


@pytest.mark.parametrize("content", [excel(ROWS), b"PAR1" + bytes(99) + b"PAR1"])
def test_where_nothing_reads_sheets_that_is_said(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith(("python_calamine", "pyarrow.parquet")):
            raise ImportError(name)
        return original(name, *arguments, **more)

    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    (source,), _, _ = find([path])
    import pandas  # before its own imports fail

    assert pandas
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", lambda name, *more: without(name))
    with pytest.raises(DataError, match=r"not installed; pip install -e '.\[tables\]', or save it as CSV"):
        parse(path, content)
    assert detect(source).format.name in ("Excel sheet", "Parquet table")


WECHAT = """localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent,StrTime,Remark,NickName,Sender
1,2,1,0,0,1768208640,,你好 小明,2026-01-12 15:04:00,小雨,王雨,wxid_1
2,2,3,0,0,1768208640,,<msg><img/></msg>,2026-01-12 15:05:00,小雨,王雨,wxid_1
3,2,49,57,1,1768208640,,"<msg><title>好的</title><refermsg>quoted</refermsg></msg>",2026-01-12 15:06:00,明,李明,wxid_2
4,2,10000,0,0,1768208640,,王雨撤回了一条消息,2026-01-12 15:07:00,小雨,王雨,wxid_1
"""
DISCORD = """AuthorID,Author,Date,Content,Attachments,Reactions
"1","tomr","2026-01-12T15:04:00.0000000+09:00","hi, all","",""
"1","tom_new","2026-01-12T15:05:00.0000000+09:00","","https://cdn.a.com/a.png?x=1","👍 (1)"
"""
BY_CONTENT = "7,안녕 나율아 밥은 먹었니,도담,2026-01-12 15:04\n8,응 먹었어 너는 뭐 했어,나율,2026-01-12 15:05\n" * 3
BY_CONTENT_SAID = [("4", "도담", "안녕 나율아 밥은 먹었니"), ("5", "나율", "응 먹었어 너는 뭐 했어")] * 3


@pytest.mark.parametrize(
    ("content", "said", "people"),
    [
        (
            WECHAT,
            [("4", "王雨", "你好 小明"), ("5", "王雨", "사진"), ("6", "李明", "好的")],
            {"小雨", "王雨", "明", "李明"},
        ),
        (DISCORD, [("4", "tomr", "hi, all"), ("5", "tomr", "사진")], {"tom_new", "tomr"}),
        (BY_CONTENT, BY_CONTENT_SAID, set()),
        (
            BY_CONTENT.replace(",", "\t"),
            [("4", "도담", "안녕 나율아 밥은 먹었니"), ("5", "나율", "응 먹었어 너는 뭐 했어")] * 3,
            set(),
        ),
        ("时间,发送者,内容\n2026-01-12 15:04,小明,你好\n", [("4", "小明", "你好")], set()),
        (  # of three exporters of WeChat that strangers published
            "time(Asia/Shanghai),group_id,group_name,from_id,from_nickname,content_type,content\n"
            "2026-01-12 15:04,8d,交大,e3,小明,Text,你好\n2026-01-12 15:05,8d,交大,e4,王雨,Text,好的\n",
            [("4", "小明", "你好"), ("5", "王雨", "好的")],
            set(),
        ),
        (
            "timestamp,talker_display,talker_id,sender_display,sender_id,type,content\n"
            "2026-01-12 15:04,李雷,wx0,小明,wx1,1,你好\n2026-01-12 15:05,李雷,wx0,王雨,wx2,1,好的\n",
            [("4", "小明", "你好"), ("5", "王雨", "好的")],
            {"李雷"},
        ),
        (
            "id,MsgSvrID,type_name,is_sender,talker,room_name,msg,src,CreateTime\n"
            "1,99,文本,0,小明,r,你好,,2026-01-12 15:04\n2,98,文本,1,王雨,r,好,,2026-01-12 15:05\n",
            [("4", "小明", "你好"), ("5", "王雨", "好")],
            set(),
        ),
        (
            "9,文本,王雨,好的,2026-01-12 15:05\n8,文本,小明,嗯嗯嗯,2026-01-12 15:04\n" * 3,
            [("5", "王雨", "好的"), ("4", "小明", "嗯嗯嗯")] * 3,
            set(),
        ),
    ],
)
def test_tables_of_apps_and_by_content(
    tmp_path: Path, content: str, said: list[tuple[str, str, str]], people: set[str]
) -> None:
    name, messages, counts = parse(tmp_path / "a.txt", content, "utf-8-sig")
    assert name == "CSV export"
    assert messages == [(f"2026-01-12 15:0{minute}", sender, text) for minute, sender, text in said]
    assert people <= counts.people and not counts.broken
