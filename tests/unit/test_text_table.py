"""foldstack.text_table: tables of every delimiter and encoding that people write, and the files that cells mean."""

import csv
import io
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack import text_table
from foldstack.errors import FoldstackError

ENCODINGS = {
    "utf-8": "utf-8",
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
}
CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


def written(rows, delimiter, encoding, end="\n"):
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows(rows)
    return stream.getvalue().encode(encoding)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5),
    delimiter=st.sampled_from(list(text_table.DELIMITERS)),
    encoding=st.sampled_from(list(ENCODINGS)),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_every_table_reads_as_it_was_written(tmp_path_factory, rows, delimiter, encoding, end):
    path = tmp_path_factory.mktemp("table") / "a.csv"
    path.write_bytes(written([("path", "label", "more, or less"), *rows], delimiter, encoding, end))
    table = text_table.read(path, ["path", "label"])
    assert table.header == ["path", "label", "more, or less"]
    assert table.rows == [list(row) for row in rows]
    assert (table.delimiter, table.encoding) == (text_table.DELIMITERS[delimiter], ENCODINGS[encoding])


def test_what_spreadsheets_add(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("sep=;\npath; label ;\na.png;cat;\n\nb.png;dog\n")
    table = text_table.read(path, ["path", "label"])
    assert table.header == ["path", "label", ""]
    assert table.rows == [["a.png", "cat", ""], ["b.png", "dog", ""]]


def test_the_delimiter_is_that_under_which_the_wanted_columns_are_there(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("path;label;a,b,c,d,e\n1.png;cat;1\n")
    assert text_table.read(path, ["path", "label"]).delimiter == "semicolon"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no header"),
        (b"\n\n", "has no header"),
        (b"path,label\n\xff\xfe,a\n", "save it in UTF-8"),
        (b"PK\x03\x04" + bytes(100), "is a spreadsheet workbook"),
        (b'path,label\n"a,b\n', "not a CSV file"),
        (b"path,label\na,b\na,b,c\n", "row 2 has 3 cells, the header 2"),
        (b"path\n" + b"x" * 200_000, "not a CSV file"),
    ],
)
def test_faults_name_the_file_and_the_row(tmp_path, content, words):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(FoldstackError, match=words) as caught:
        text_table.read(tmp_path / "a.csv")
    assert "a.csv" in str(caught.value)


def test_cells_mean_files(tmp_path):
    for name in ("images/im 0.png", "images/back\\slash.png", "images/cafe\u0301.png", "images/ISIC_1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for cell, suffix, expected in [
        ("images/im 0.png", None, "images/im 0.png"),
        (" images/im 0.png ", None, "images/im 0.png"),
        ("images\\im 0.png", None, "images/im 0.png"),
        ("images/back\\slash.png", None, "images/back\\slash.png"),  # a file of that very name
        ("images/café.png", None, "images/cafe\u0301.png"),
        ("images/ISIC_1", ".jpg", "images/ISIC_1"),
        ("images/ISIC_1.JPG", ".jpg", "images/ISIC_1.JPG"),
        (f"{tmp_path}/images/im 0.png", None, "images/im 0.png"),
        ("images\\none.png", None, "images/none.png"),
    ]:
        name, file = text_table.find_file(tmp_path, cell, suffix)
        assert unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", expected)
        assert file.exists() == (not cell.endswith(("none.png", ".JPG")))
    outside = text_table.find_file(tmp_path / "images", "/etc/passwd", None)
    assert outside[0] == "/etc/passwd"


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("images/im0", r"there is 'im0\.png': set data\.suffix: \.png"),
        ("images/im0.jpg", "there is 'im0.png'"),
        ("images/IM0.PNG", "there is 'im0.png'"),
        ("im0.png", r"there is images/im0\.png: set data\.images: .*images"),
        ("im0", r"set data\.images: .*images and data\.suffix: \.png"),
        ("elsewhere/im0.png", "there is no folder 'elsewhere'"),
        ("images/other.png", "^$"),
    ],
)
def test_what_lies_near_a_file_that_is_not_there(tmp_path, cell, words):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "im0.png").touch()
    assert re.search(words, text_table.nearby(tmp_path / cell, "data"))
