"""The short form of `make fuzz`: the first inputs of each kind; none crashes, and each outcome that is due occurs."""

import fuzz
import pytest

SHORT = {"folders of odd images and names, whole data stage": 25}
QUARANTINES = {"mutated image bytes", "folders of odd images and names, whole data stage"}


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_broken_inputs_are_read_refused_or_quarantined(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the cache of reruns.sources
    counts, crashes = fuzz.fuzz(kind, SHORT.get(kind, 150), tmp_path)
    assert not crashes, crashes[0]
    assert counts["accepted"] + counts["quarantined"]
    assert counts["quarantined" if kind in QUARANTINES else "refused"]


def test_a_crash_is_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(fuzz.KINDS, "broken", (lambda rng, folder: 1 / 0, 1))
    counts, crashes = fuzz.fuzz("broken", 2, tmp_path)
    assert counts == {"crashed": 2}
    assert "ZeroDivisionError" in crashes[0]
