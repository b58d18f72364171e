"""foldstack.config.intake_checks: what can be known of the data's keys before any job starts."""

import pytest

from foldstack.config.resolve import resolve
from foldstack.errors import FoldstackError


def config(tmp_path, data=None, predict=None):
    (tmp_path / "folder" / "inner").mkdir(parents=True, exist_ok=True)
    (tmp_path / "t.csv").write_text("image_id,diagnosis,Group\na,b,c\n")
    (tmp_path / "a.npz").touch()

    def placed(block):
        places = ("path", "test_path", "images")
        return {key: str(tmp_path / value) if key in places else value for key, value in block.items()}

    return {
        "experiment": "x",
        "models": {"small_cnn": {}},
        "data": placed(data or {}),
        "predict": placed(predict or {}),
    }


TABLE = {"format": "csv", "path": "t.csv", "columns": {"path": "image_id", "label": "diagnosis", "group": "Group"}}


def test_a_table_with_columns_of_its_own_is_resolved(tmp_path):
    found = resolve(config(tmp_path, TABLE | {"suffix": ".jpg", "images": "folder"}))["data"]
    assert found["columns"] == {"path": "image_id", "label": "diagnosis", "group": "Group"}
    assert (found["bits"], found["pages"], found["labels"]) == (16, None, {})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"format": "csv", "path": "t.csv"}, r"no column 'path'.*data\.columns: \{path: image_id\}"),
        (TABLE | {"columns": {"path": "image_id", "label": "diagnosis"}}, "did you mean 'group'"),
        (TABLE | {"columns": {"path": "image", "label": "diagnosis"}}, "path is 'image'.*did you mean 'image_id'"),
        (TABLE | {"columns": {"label": ["diagnosis", "nv"], "path": "image_id"}}, "label is 'nv'"),
        (TABLE | {"columns": {"x": "image_id"}}, r"data\.columns\.x has no meaning for format csv"),
        (TABLE | {"columns": {"paths": "image_id"}}, "did you mean 'path'"),
        (TABLE | {"suffix": "jpg"}, r"has no dot; did you mean '\.jpg'"),
        (TABLE | {"images": "nowhere"}, r"data\.images .*nowhere' is not a folder"),
        ({"format": "imagefolder", "path": "folder", "suffix": ".jpg"}, r"data\.suffix is for data\.format csv"),
        ({"format": "imagefolder", "path": "folder", "columns": {"label": "a"}}, "it has none"),
        ({"format": "npz", "path": "a.npz", "columns": {"label": "a"}}, "it has x, y, id, group, fold"),
        ({"format": "npz", "path": "a.npz", "bits": 12}, r"data\.bits is for image files"),
        ({"format": "npz", "path": "a.npz", "pages": "first"}, r"data\.pages is for image files"),
        ({"format": "imagefolder", "path": "folder", "pages": "rgb", "channels": 1}, "gives 3 channels"),
        ({"format": "imagefolder", "path": "folder", "bits": 20}, r"data\.bits"),
        ({"format": "imagefolder", "path": "folder", "test_path": "folder"}, "are the same"),
        ({"format": "npz", "path": "a.npz", "test_path": "a.npz"}, "are the same"),
        (
            {"format": "imagefolder", "path": "folder", "test_path": "folder/inner"},
            r"data\.test_path .*inside data\.path",
        ),
        (
            {"format": "imagefolder", "path": "folder/inner", "test_path": "folder"},
            r"data\.path .*inside data\.test_path",
        ),
        ({"format": "imagefolder", "path": "folder", "labels": {"a": 1}}, r"data\.labels"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(tmp_path, data, words):
    with pytest.raises(FoldstackError, match=words):
        resolve(config(tmp_path, data))


def test_new_data_need_no_labels_and_are_checked_alike(tmp_path):
    new = {"format": "csv", "path": "t.csv", "columns": {"path": "image_id", "group": None}}
    assert resolve(config(tmp_path, predict=new))["predict"]["columns"] == {"path": "image_id", "group": None}
    with pytest.raises(FoldstackError, match=r"predict\.columns: \{path: image_id\}"):
        resolve(config(tmp_path, predict={"format": "csv", "path": "t.csv"}))
    with pytest.raises(FoldstackError, match=r"predict\.images is for predict\.format csv"):
        resolve(config(tmp_path, predict={"path": "folder", "images": "folder"}))


def test_a_home_folder_is_written_out(tmp_path):
    raw = config(tmp_path)
    raw["data"] = {"format": "imagefolder", "path": "~/data"}
    with pytest.raises(FoldstackError, match="~ is not replaced"):
        resolve(raw)
