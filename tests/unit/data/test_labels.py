"""foldstack.data.labels: one class for what a person reads as one word, and no two that look alike."""

import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstack.data.labels import clean, look, read_labels
from foldstack.errors import FoldstackError


def read(*labels, **mapping):
    rows = pd.DataFrame({"sample_id": [f"s{i}" for i in range(len(labels))], "label": labels}, dtype=object)
    found, facts = read_labels(rows, mapping)
    return found.tolist(), facts


def test_blanks_and_the_form_of_accents_make_no_classes():
    labels, facts = read("cat", "cat ", "\ufeffcat", "caf\u00e9", "cafe\u0301", "\u00a0dog")
    assert labels == ["cat", "cat", "cat", "caf\u00e9", "caf\u00e9", "dog"]
    assert any("'cat ' (1 samples) was read as 'cat'" in text for text in facts)
    assert "So were 1 more spellings of labels." in facts


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "Cat"),
        ("1", "1.0"),
        ("1", "01"),
        ("polar bear", "polar  bear"),
        ("polar bear", "polar\u00a0bear"),
        ("cat", "c\u200bat"),
        ("cat", "c\u0430t"),  # the second letter is Cyrillic
        ("STRASSE", "straße"),
        ("ﬁsh", "fish"),
        ("кот", "Кот"),
    ],
)
def test_classes_that_look_alike_are_refused_with_the_way_to_join_them(one, other):
    with pytest.raises(FoldstackError, match=r"look alike; join them with data\.labels") as caught:
        read(one, one, other, "dog")
    assert f"{one!r}" in str(caught.value)
    assert "(2 samples)" in str(caught.value)
    assert read(one, one, other, "dog", **{other: one})[0] == [clean(one), clean(one), clean(one), "dog"]
    assert len(set(read(one, one, other, "dog", **{other: "another"})[0])) == 3


@pytest.mark.parametrize(
    "labels", [("a", "A"), ("cat", "cats"), ("1", "10"), ("1.0", "1.5"), ("-1", "1"), ("кот", "kит")]
)
def test_classes_that_a_person_can_tell_apart_stay(labels):
    assert read(*labels)[0] == list(labels)


@pytest.mark.parametrize("label", ["a\tb", "a\nb", "a\0b", "a\u2028b", "\u0085", "  ", "\u200b"])
def test_labels_that_cannot_be_read_are_refused(label):
    with pytest.raises(FoldstackError, match=r"Sample 's0' has the label .*(control character|is empty)"):
        read(label, "dog")


def test_labels_are_mapped_and_a_key_without_samples_is_refused():
    assert read("0", "1", **{"0": "no", "1": "yes"})[0] == ["no", "yes"]
    assert read("a\tb", "dog", **{"a\tb": "cat"})[0] == ["cat", "dog"]
    with pytest.raises(FoldstackError, match="names 'Catt', which no sample has as its label; did you mean 'Cat'"):
        read("Cat", "dog", Catt="cat")


@given(st.text(min_size=1, max_size=12) | st.text(st.sampled_from(" \u200b\ufeff\u00a0e\u0301"), max_size=6))
def test_a_label_is_clean_once_and_looks_like_itself(text):
    assert clean(clean(text)) == clean(text)
    assert unicodedata.is_normalized("NFC", clean(text))
    assert look(text) == look(clean(text)) or not clean(text)
