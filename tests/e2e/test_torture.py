"""The short form of `make torture`: one kill of each kind, then the same bytes as a run that was left alone."""

from project import TINY, Project
from torture import digests, torture


def test_killed_in_the_middle_and_started_again_gives_the_same_bytes(finished, tmp_path):
    project = Project(tmp_path / "project", TINY)
    hits = torture(project, kills=4, seed=3)
    assert sum(hits.values()) == 4
    assert digests(project.results) == digests(finished.results)
    assert len(digests(project.results)) > 20
