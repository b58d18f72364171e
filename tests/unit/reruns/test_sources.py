"""foldstack.reruns.sources: content decides, not times."""

import errno
import os
from pathlib import Path

import pytest
from data_config import DATA

from foldstack.data import unread
from foldstack.errors import FoldstackError
from foldstack.reruns import sources


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "images"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(name.encode())
    return images


def digest(path, form="imagefolder"):
    return sources.digest(DATA | {"format": form, "path": str(path)})


def test_touch_changes_nothing(folder):
    before = digest(folder)
    os.utime(folder / "cat" / "1.png", (1, 1))
    assert digest(folder) == before


def test_moving_the_folder_changes_nothing(folder):
    before = digest(folder)
    folder.rename(folder.with_name("moved"))
    assert digest(folder.with_name("moved")) == before


@pytest.mark.parametrize("edit", ["replace", "add", "remove", "rename the class"])
def test_content_counts(folder, edit):
    before = digest(folder)
    if edit == "replace":
        (folder / "cat" / "1.png").write_bytes(b"other!!!!")
    elif edit == "add":
        (folder / "cat" / "3.png").write_bytes(b"new")
    elif edit == "remove":
        (folder / "cat" / "2.png").unlink()
    else:
        (folder / "cat").rename(folder / "lynx")
    assert digest(folder) != before


def test_a_lost_cache_costs_time_only(folder):
    before = digest(folder)
    for path in sources.CACHE_FOLDER.iterdir():
        path.write_text("{")
    assert digest(folder) == before


def test_the_images_that_a_csv_lists_count(folder, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("path,label\nimages/cat/1.png,cat\n")
    before = digest(table, "csv")
    (folder / "dog" / "1.png").write_bytes(b"not listed")
    assert digest(table, "csv") == before
    (folder / "cat" / "1.png").write_bytes(b"listed")
    assert digest(table, "csv") != before


def test_odd_file_names(folder):
    before = digest(folder)
    (folder / "cat" / "a 'b' \"c\"\n ü.png").write_bytes(b"x")
    assert digest(folder) != before


def test_a_new_reader_of_heic_counts_for_every_suffix_that_needs_it():
    """Written twice, since the room `reruns` lies below `data` and may not import it."""
    assert set(sources.HEIF) == unread.HEIF


def test_built_in_data_has_no_files():
    assert sources.digest(DATA) == ""


def test_files_behind_a_linked_folder_count_and_loops_end(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").write_bytes(b"x")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "cat" / "loop").symlink_to(folder)
    before = digest(folder)
    (tmp_path / "elsewhere" / "1.png").write_bytes(b"y")
    assert digest(folder) != before


@pytest.mark.parametrize(
    ("form", "content", "words"),
    [
        ("imagefolder", None, "holds no file"),
        ("csv", "file,label\na.png,a\n", "no column 'path'"),
        ("csv", "", "has no header"),
        ("csv", "path\n" + "x" * 200_000, "not a CSV file"),
    ],
)
def test_what_names_nothing_is_refused_at_once(tmp_path, monkeypatch, form, content, words):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data"
    path.mkdir() if content is None else path.write_text(content)
    with pytest.raises(FoldstackError, match=words):
        digest(path, form)


def test_names_that_are_too_long_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "a.csv").write_text("path\na.png\n" + "x" * 5000)
    assert digest(tmp_path / "a.csv", "csv")


def test_a_folder_that_may_not_be_read_is_named(folder, monkeypatch):
    """Simulated, since root may read everything."""
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "cat":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(FoldstackError, match=r"images/cat cannot be read \(Permission denied\)"):
        digest(folder)


def test_files_of_equal_size_and_time_that_change_places_are_noticed(folder):
    """As unpacked archives have them: corrected labels must not be overlooked."""
    one, other = folder / "cat" / "1.png", folder / "dog" / "1.png"
    other.write_bytes(b"dog/1.pn")
    one.write_bytes(b"cat/1.pn")
    for path in (one, other):
        os.utime(path, (1577836800, 1577836800))
    before = digest(folder)
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)
    assert one.stat().st_mtime == other.stat().st_mtime == 1577836800
    assert digest(folder) != before


def test_a_table_of_any_form_names_its_images(folder, tmp_path):
    columns = {"path": "bild", "label": "art"}
    given = {"format": "csv", "images": str(folder), "suffix": ".png", "columns": columns}
    for text, encoding in (("bild;art\ncat\\1;x\n", "utf-16"), ("art\tbild\nx\t cat/1\n", "utf-8-sig")):
        (tmp_path / "t.csv").write_bytes(text.encode(encoding))
        section = DATA | given | {"path": str(tmp_path / "t.csv")}
        before = sources.digest(section)
        (folder / "cat" / "2.png").write_bytes(encoding.encode())
        assert sources.digest(section) == before
        (folder / "cat" / "1.png").write_bytes(encoding.encode())
        assert sources.digest(section) != before


@pytest.mark.parametrize(
    ("cell", "name", "words"),
    [
        ("cat/1", "data", r"None of the 1 images .* exists.*cat/1': there is '1\.png': set data\.suffix: \.png"),
        ("1.png", "predict", r"set predict\.images: .*cat"),
        ("cats/1.png", "data", "there is no folder 'cats'"),
    ],
)
def test_a_table_of_images_that_are_not_there_is_refused_before_any_job(folder, cell, name, words):
    (folder / "t.csv").write_text(f"path,label\n{cell},a\n")
    with pytest.raises(FoldstackError, match=words):
        sources.digest(DATA | {"format": "csv", "path": str(folder / "t.csv")}, name)


def test_a_reader_of_heic_counts_where_there_is_any(folder, monkeypatch):
    without = digest(folder)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: object())
    assert digest(folder) == without
    (folder / "cat" / "3.HEIC").write_bytes(b"x")
    with_reader = digest(folder)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    assert digest(folder) != with_reader
