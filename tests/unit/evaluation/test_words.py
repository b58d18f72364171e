"""foldstack.evaluation.words: numbers in texts."""

from foldstack.evaluation import words


def test_shares_are_written_in_percent_and_differences_with_their_sign():
    assert words.interval(0.98321, 0.971, 1) == "98.32 [97.10, 100.00]"
    assert words.change({"difference": 0.0012, "low": -0.003, "high": 0.0}) == "+0.12 [-0.30, +0.00]"
