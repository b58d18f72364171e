"""data.testsplit: a share of each class, whole sets, or a sentence that says why not."""

import pandas as pd
import pytest

from foldstack.data.testsplit import cut
from foldstack.errors import FoldstackError


def frame(labels, groups=None, views=None) -> pd.DataFrame:
    n = len(labels)
    return pd.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(n)],
            "label": labels,
            "group": pd.Series(groups or [None] * n, dtype=object),
            "view_hashes": views or [[f"h{i}"] for i in range(n)],
        }
    )


def test_a_share_of_each_class_is_cut_off_and_none_with_a_fraction_of_0():
    made = frame([0, 1] * 50)
    split = pd.Series(cut(made, ["a", "b"], 0.2, seed=0))
    assert made["label"][split == "test"].value_counts().to_dict() == {0: 10, 1: 10}
    assert set(cut(made, ["a", "b"], 0, seed=0)) == {"train"}
    assert set(cut(frame([0, 1] * 5, ["all"] * 10), ["a", "b"], 0, seed=0)) == {"train"}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"groups": ["p"] * 20}, ["form 1 set ", "group 'p' holds 20 of them. Correct the groups, lower"]),
        ({"groups": ["p", "q"] * 10}, ["form 2 sets ", "holds 10 of them", "data.test_fraction: 0"]),
        (
            {"views": [[f"x{i}", "hub"] for i in range(20)]},
            ["the right image of 's0' occurs in 20 of them. Pairs that"],
        ),
    ],
)
def test_what_hangs_together_is_named_with_a_way_out(columns, words):
    with pytest.raises(FoldstackError) as caught:
        cut(frame([0, 1] * 10, **columns), ["a", "b"], 0.2, seed=0)
    for each in words:
        assert each in str(caught.value)


def test_a_chain_of_nearly_equal_images_is_named():
    with pytest.raises(FoldstackError, match="nearly equal images chain them, such as those of 's0' and 's1'"):
        cut(frame([0, 1] * 10), ["a", "b"], 0.2, seed=0, linked=[(i, i + 1) for i in range(19)])
