"""foldstack.columns: which of a table's names are ours, which only look like it."""

import pytest

from foldstack import columns
from foldstack.errors import FoldstackError


def resolve(names, **given):
    found = columns.resolve(
        names, given, required=("path", "label"), optional=("group", "split"), where="x.csv", key="data.columns"
    )
    return found.used, found.unused


def test_ours_are_found_and_the_rest_is_named():
    assert resolve(["label", "width", "path", "split"]) == (
        {"path": "path", "label": "label", "split": "split"},
        ["width"],
    )


def test_names_of_the_config_take_the_place_of_ours():
    used, unused = resolve(["image_id", "path", "dx"], path="image_id", label="dx")
    assert used == {"path": "image_id", "label": "dx"}
    assert unused == ["path"]
    assert resolve(["path", "mel", "nv"], label=["mel", "nv"])[0]["label"] == ["mel", "nv"]


@pytest.mark.parametrize("name", ["Group", "GROUP", "groups", "group_id", "Group ID", "group-ids", "Splits"])
def test_what_only_resembles_an_optional_one_is_refused_with_the_one_meant(name):
    ours = "split" if name == "Splits" else "group"
    with pytest.raises(FoldstackError, match=rf"{name!r}: did you mean '{ours}'\?.*{ours}: {name}"):
        resolve(["path", "label", name])
    assert resolve(["path", "label", name], **{ours: name})[0][ours] == name
    assert resolve(["path", "label", name], **{ours: None}) == ({"path": "path", "label": "label"}, [name])
    assert resolve(["path", "label", name, ours])[1] == [name]


@pytest.mark.parametrize("name", ["grouping", "subgroup", "splitter", "patient", "id", "s"])
def test_other_names_are_just_not_used(name):
    assert resolve(["path", "label", name])[1] == [name]


def test_null_leaves_out_a_column_of_that_very_name():
    assert resolve(["path", "label", "split"], split=None) == ({"path": "path", "label": "label"}, ["split"])


@pytest.mark.parametrize(
    ("names", "given", "words"),
    [
        (["Image ID", "label"], {}, r"no column 'path', only \['Image ID', 'label'\].*\{path: Image ID\}"),
        (["path", "diagnosis"], {}, r"no column 'label'.*\{label: diagnosis\}"),
        (["a", "b"], {}, r"\{path: <its path>\}"),
        (["path", "diagnosis"], {"label": "diagnois"}, "label is 'diagnois'.*did you mean 'diagnosis'"),
        (["path", "mel"], {"label": ["mel", "nv"]}, "label is 'nv'"),
        (["path", "label", "label"], {}, "two columns 'label'"),
    ],
)
def test_faults_name_the_column_and_the_way_on(names, given, words):
    with pytest.raises(FoldstackError, match=words):
        resolve(names, **given)


def test_a_table_may_have_columns_without_a_name():
    assert resolve(["", "path", "label", ""])[1] == []
