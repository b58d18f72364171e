"""foldstack.files: whole files or none, and what is written byte for byte."""

import hashlib
import json

import pandas as pd
import pytest

from foldstack import files
from foldstack.errors import FoldstackError


def test_an_interrupted_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "deep" / "file.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(FileNotFoundError), files.atomic(path) as temporary:
        temporary.rename(tmp_path / "lost")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_json_has_sorted_keys_and_no_nan(tmp_path):
    files.write_json(tmp_path / "x.json", {"b": 1, "a": 2})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "y.json", {"a": float("nan")})
    assert not (tmp_path / "y.json").exists()


def test_a_broken_json_file_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(FoldstackError, match=r"x\.json cannot be read"):
        files.read_json(tmp_path / "x.json")


def test_a_table_is_written_with_unix_lines_a_header_and_no_index(tmp_path):
    table = pd.DataFrame(
        {"name": ["a,b", "null", None], "score": [1 / 3, 1.0, float("nan")], "n": [1, 2, 3]}, [7, 8, 9]
    )
    files.write_csv(tmp_path / "x.csv", table)
    assert (tmp_path / "x.csv").read_bytes() == b'name,score,n\n"a,b",0.333333,1\nnull,1.000000,2\n,,3\n'
    files.write_csv(tmp_path / "x.csv", table, float_format="%.2g")
    assert (tmp_path / "x.csv").read_bytes() == b'name,score,n\n"a,b",0.33,1\nnull,1,2\n,,3\n'


def test_the_digest_is_of_the_bytes(tmp_path):
    for content in (b"", b"\x00\r\n" * 100_000):
        (tmp_path / "x").write_bytes(content)
        assert files.sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_the_digest_of_a_value_depends_on_its_content_not_on_the_order_of_its_keys():
    value = {"b": [1, None], "a": {"é": 0.1}}
    assert files.digest_of({"a": {"é": 0.1}, "b": [1, None]}) == files.digest_of(value)
    assert files.digest_of({"a": {"é": 0.1}, "b": [None, 1]}) != files.digest_of(value)
