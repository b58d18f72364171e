"""The figure of when each run trained: lanes, cuts of idle time, and what it falls back to."""

import itertools

import fake_report
import numpy as np
from drawn_report import texts
from hypothesis import given
from hypothesis import strategies as st

from foldstack.files import read_json
from foldstack.report.figures import timings

intervals = st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 3_000)), min_size=1, max_size=30)


@given(intervals)
def test_lanes_never_overlap_and_are_as_few_as_runs_at_a_time(spans):
    start = np.array([a for a, _ in spans], float)
    end = start + [length for _, length in spans]
    lane = timings.lanes(start, end)
    for i in range(len(spans)):
        for j in range(i):
            assert lane[i] != lane[j] or end[i] <= start[j] or end[j] <= start[i]
    assert lane.max() + 1 == max(int(((start <= moment) & (end > moment)).sum()) for moment in start)


@given(intervals)
def test_stretches_hold_every_run_and_cut_only_long_gaps(spans):
    start = np.array([a for a, _ in spans], float)
    end = start + [length for _, length in spans]
    found = timings.stretches(start, end)
    for a, b in zip(start, end, strict=True):
        assert sum(low <= a and b <= high for low, high in found) == 1
    for (_, before), (after, _) in itertools.pairwise(found):
        assert after - before > 60


def test_weeks_between_runs_are_cut_out(tmp_path):
    for days in (0, 40):
        paths = fake_report.write_runs(tmp_path / str(days), n_splits=3, pause_days=days)
        timings.draw_timings([read_json(path) for path in paths], tmp_path / f"{days}.svg")
    together, apart = texts(tmp_path / "0.svg"), texts(tmp_path / "40.svg")
    assert "minutes since the first run started" in together
    assert "minutes with runs in progress (idle time is cut out)" in apart
    assert sum("2026-" in text for text in together) == 1
    assert sum("2026-" in text for text in apart) == 2
    assert "s1 f2" in apart  # bars are still wide enough for their names


def test_timings_fall_back_to_seconds(tmp_path):
    records = [read_json(path) for path in fake_report.write_runs(tmp_path, models={"net": 0.9}, seeds=(0,))]
    unknown = [record | {"started": None} for record in records]
    crowd = [record | {"fold": i, "started": "2026-01-01T00:00:00Z"} for i in range(60) for record in records]
    for name, runs in (("unknown", unknown), ("crowd", crowd)):
        timings.draw_timings(runs, tmp_path / f"{name}.svg")
        assert "seconds a run" in texts(tmp_path / f"{name}.svg")
    timings.draw_timings([records[0] | {"status": "failed"}, *records[1:]], tmp_path / "failed.svg")
    assert "not completed" in texts(tmp_path / "failed.svg")
