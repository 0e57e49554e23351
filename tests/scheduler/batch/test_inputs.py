"""Every kind of input is read, or refused by its name; a bad row is that row's error."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from scheduler.batch.check import check_rows
from scheduler.batch.inputs.columns import Columns
from scheduler.batch.inputs.files import count_rows, read_rows
from scheduler.batch.inputs.row import BadRow, Row
from scheduler.batch.storage import locate
from tests.scheduler.batch.jobs import line, write

TABLE: list[dict[str, Any]] = [
    {"question": "a b?", "answer": "1", "class": "sums", "value": 2.0},
    {"question": 'with "quotes",\nand lines', "answer": "2", "class": "sums", "value": 1.0},
    {"question": "Größe?", "answer": "3", "class": "words", "value": 0.5},
]


def rows(path: Path, columns: Columns | None = None) -> list[Row | BadRow]:
    at = locate(str(path))
    found = list(read_rows(at, columns))
    assert count_rows(at, columns) == len(found)
    return found


def good(path: Path, columns: Columns | None = None) -> list[Row]:
    found = [row for row in rows(path, columns) if isinstance(row, Row)]
    assert len(found) == len(rows(path, columns))
    return found


def as_csv(path: Path, separator: str = ",", bom: str = "") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(bom)
        table = csv.DictWriter(file, list(TABLE[0]), delimiter=separator, lineterminator="\r\n")
        table.writeheader()
        table.writerows(TABLE)
    return path


def as_parquet(path: Path) -> Path:
    parquet.write_table(pa.Table.from_pylist(TABLE), path)
    return path


def as_lines(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\r\n" for row in TABLE), encoding="utf-8")
    return path


def zipped(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


@pytest.mark.parametrize(
    "made",
    [
        lambda folder: as_csv(folder / "in.csv"),
        lambda folder: as_csv(folder / "in.csv", bom="\ufeff"),
        lambda folder: as_csv(folder / "in.tsv", separator="\t"),
        lambda folder: zipped(as_csv(folder / "in.csv")),
        lambda folder: as_parquet(folder / "in.parquet"),
        lambda folder: as_parquet(folder / "named-otherwise"),
        lambda folder: as_lines(folder / "in.jsonl"),
        lambda folder: zipped(as_lines(folder / "in.jsonl")),
    ],
)
def test_tables_of_all_kinds_give_the_same_rows(made: Any, tmp_path: Path) -> None:
    found = good(made(tmp_path))
    assert [row.custom_id for row in found] == ["row-1", "row-2", "row-3"]
    assert [row.body["messages"][0]["content"] for row in found] == [
        row["question"] for row in TABLE
    ]
    assert [row.body["thinkbudget"] for row in found] == [
        {"reference_answer": row["answer"], "query_class": row["class"], "value": row["value"]}
        for row in TABLE
    ]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("nr,frage,prompt\n7,what?,not this\n", encoding="utf-8")
    (row,) = good(path, Columns().named(prompt="frage", custom_id="nr"))
    assert (row.custom_id, row.body["messages"][0]["content"]) == ("7", "what?")
    with pytest.raises(ValueError, match="no column text; it has nr, frage, prompt"):
        rows(path, Columns().named(prompt="text"))


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"question": ""}, "question"),
        ({"question": 7}, "question"),
        ({"question": None}, "question"),
        ({"question": "a", "value": -1}, "value"),
        ({"question": "a", "value": "much"}, "value"),
        ({"question": "a", "answer": [1]}, "answer"),
        ({"question": "\ud800"}, "messages.0.content"),
    ],
)
def test_a_bad_record_names_its_column(record: dict[str, Any], named: str, tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(record))
    (bad,) = rows(path)
    assert isinstance(bad, BadRow) and bad.error.field == named


def test_numbers_that_are_none_are_that_rows_error(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    columns = {"question": ["a", "b", None], "answer": [1.0, float("nan"), 2.0]}
    parquet.write_table(pa.table(columns), path)
    first, second, third = rows(path)
    assert isinstance(first, Row) and first.body["thinkbudget"] == {"reference_answer": "1.0"}
    assert isinstance(second, BadRow) and second.error.field == "answer"
    assert isinstance(third, BadRow) and third.error.field == "question"


def test_csv_that_is_no_text_is_that_rows_error(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"question\ngood\n\xff\xfe\nalso good\n")
    first, second, third = rows(path)
    assert isinstance(second, BadRow) and isinstance(first, Row) and isinstance(third, Row)


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("in.xlsx", b"PK\x03\x04rest", "zip archive"),
        ("in.jsonl.zst", b"\x28\xb5\x2f\xfdrest", "zstd"),
        ("in.jsonl.bz2", b"BZh9rest", "bzip2"),
        ("in.jsonl.xz", b"\xfd7zXZ\x00rest", "xz"),
        ("in.db", b"SQLite format 3\x00", "SQLite"),
        ("in.parquet", b"question\na\n", "is none"),
        ("in.parquet", b"PAR1 and no end", "no whole Parquet"),
        ("in.jsonl.gz", gzip.compress(line("a").encode() * 99)[:-20], "no whole gzip"),
    ],
)
def test_what_is_not_read_is_refused_by_its_name(
    name: str, data: bytes, what: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=what) as refused:
        list(read_rows(locate(str(path))))
    assert name in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_an_empty_file_has_no_rows(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(data)
    assert rows(path) == []


def test_a_line_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    long = json.dumps({"prompt": "x" * (10 << 20)})
    path = write(tmp_path, line("a"), long, line("b"))
    assert [len(str(row.body)) > 10 << 20 for row in good(path)] == [False, True, False]


def test_a_line_without_end_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scheduler.batch.inputs import files

    monkeypatch.setattr(files, "MOST_LINE_BYTES", 1 << 12)
    path = write(tmp_path, line("a"), "[" * (1 << 14), line("b"))
    found = rows(path)
    assert [type(row) for row in found] == [Row, BadRow, Row]


def test_check_counts_what_is_wrong(tmp_path: Path) -> None:
    path = write(
        tmp_path, line("a"), line("a"), "no json", json.dumps({"prompt": "p", "answer": "1"})
    )
    checked = check_rows(read_rows(locate(str(path))))
    assert (checked.rows, checked.bad, checked.with_reference) == (4, 2, 1)
    assert checked.errors == {"duplicate_id": 1, "invalid_json": 1}
    assert "row 2: custom_id 'a' came up before" in "\n".join(checked.lines())
