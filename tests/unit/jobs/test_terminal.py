"""What the terminal says of the data and the folds, and at the end."""

import itertools
import json
import logging
from types import SimpleNamespace

from foldstack.jobs import terminal
from foldstack.jobs.progress import stage_file
from foldstack.runs import run_folder


def test_the_table_of_successes_and_failures_counts_the_runs_of_each_model(tmp_path, capsys):
    class Dag(list):
        def needrun_jobs(self):
            rule = SimpleNamespace(name="train_fold")
            return [SimpleNamespace(rule=rule, wildcards_dict={"model": "weak", "seed": "0", "fold": "1"})]

    for model, seed, fold in itertools.product(("weak", "well"), (0, 1), (0, 1)):
        folder = run_folder(tmp_path, model, seed, fold)
        folder.mkdir(parents=True)
        (folder / "run.json").touch()
    view = terminal._View(Dag(), tmp_path, {"weak": [0], "well": [0, 1], "never": [0]}, 2)
    view.runs["weak", 0, 0] = "failed"
    view.console.print(view.outcome_table())
    rows = [
        line.replace("|", "│").split("│")
        for line in capsys.readouterr().err.splitlines()
        if "we" in line or "never" in line
    ]
    assert [[cell.strip() for cell in row[1:-1]] for row in rows] == [
        ["weak", "0", "1", "1"],
        ["well", "4", "0", "0"],
        ["never", "0", "0", "2"],
    ]


def view_of(tmp_path, *needed):
    class Dag(list):
        def needrun_jobs(self):
            return [SimpleNamespace(rule=SimpleNamespace(name=name), wildcards_dict={}) for name in needed]

    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "folds.json").write_text(json.dumps({"cautions": ["Fold 2 holds 72 of 80."]}))
    return terminal._View(Dag(), tmp_path, {"cnn": [0]}, 2)


def test_cautions_of_the_folds_are_said_when_these_are_made_or_stay(tmp_path, capsys):
    view_of(tmp_path, "plot_folds")
    assert "CAUTION: Fold 2 holds 72 of 80." in capsys.readouterr().err


def test_cautions_of_folds_that_will_be_made_anew_wait_for_them(tmp_path, capsys):
    view = view_of(tmp_path, "assign_folds")
    assert "CAUTION" not in capsys.readouterr().err
    view.emit(logging.makeLogRecord({"event": "job_info", "jobid": 1, "rule_name": "assign_folds", "wildcards": {}}))
    view.emit(logging.makeLogRecord({"event": "job_finished", "job_id": 1}))
    assert "CAUTION: Fold 2 holds 72 of 80." in capsys.readouterr().err


def test_what_the_data_stage_took_is_said_when_it_ends(tmp_path, capsys):
    class Dag(list):
        def needrun_jobs(self):
            return []

    view = terminal._View(Dag(), tmp_path, {"weak": [0]}, 2)
    view.jobs[1] = ("prepare_data", {})
    view._set(1, "running")
    view._set(1, "done")
    assert "Data:" not in capsys.readouterr().err  # an older workflow's results have no account
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "intake.json").write_text(
        json.dumps({"lines": ["Data: [3 of 4].", "Samples: 3.", "Look at: b."]})
    )
    view._set(1, "done")
    assert capsys.readouterr().err.splitlines() == ["Data: [3 of 4].", "Samples: 3.", "Look at: b."]


class NoRuns(list):
    def needrun_jobs(self):
        return []


def started(view, jobid, rule, log, **wildcards):
    said = {"event": "job_info", "jobid": jobid, "rule_name": rule, "wildcards": wildcards, "log": [str(log)]}
    view.emit(logging.makeLogRecord(said))


def test_a_long_job_says_how_far_it_is_and_a_killed_one_says_nothing(tmp_path):
    log = tmp_path / "logs" / "export_model" / "cnn.log"
    file = stage_file(tmp_path, log)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"what": "left by a killed job", "share": 0.5, "seconds_left": 1}))
    view = terminal._View(NoRuns(), tmp_path, {"cnn": [0]}, 2)
    started(view, 7, "export_model", log, model="cnn")
    assert [view.other[7].name, view.other[7].how_far()] == ["export model cnn", ""]
    file.write_text(json.dumps({"what": "tracing", "share": 0.314, "seconds_left": 125.4}))
    assert view.other[7].how_far() == "tracing 31 %  2:05 left"
    file.write_text(json.dumps({"what": "tracing", "share": 0.0, "seconds_left": None}))
    assert view.other[7].how_far() == "tracing 0 %"
    view.console.print(view.render())
    view.emit(logging.makeLogRecord({"event": "job_finished", "job_id": 7}))
    assert not view.other


def test_without_a_terminal_a_line_comes_only_after_a_while(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "SILENCE", (0.0, 30.0))
    view = terminal._View(NoRuns(), tmp_path, {"cnn": [0]}, 2)
    started(view, 1, "evaluate", tmp_path / "logs" / "evaluate.log")
    file = stage_file(tmp_path, tmp_path / "logs" / "evaluate.log")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"what": "intervals", "share": 0.5, "seconds_left": 60}))
    waits = iter([False, False, False, True])
    view.ended = SimpleNamespace(wait=lambda seconds: next(waits))
    view.speak()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("   evaluate: intervals 50 %  1:00 left")
