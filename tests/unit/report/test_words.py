"""foldstack.report.words: what every page writes alike."""

import pytest

from foldstack.report.words import format_count


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (999, "999"), (1000, "1.00k"), (11_173_962, "11.2M"), (999_950_000, "1.00G"), (4.1e12, "4.10T")],
)
def test_counts_are_short(count, text):
    assert format_count(count) == text
