"""What the terminal says at the end."""

from types import SimpleNamespace

from foldstack.jobs import terminal


def test_the_table_of_successes_and_failures_counts_the_runs_of_each_model(tmp_path, capsys):
    class Dag(list):
        def needrun_jobs(self):
            rule = SimpleNamespace(name="train_fold")
            return [SimpleNamespace(rule=rule, wildcards_dict={"model": "weak", "seed": "0", "fold": "1"})]

    view = terminal._View(Dag(), tmp_path, {"weak": [0], "well": [0, 1]}, 2)
    view.runs["weak", 0, 0] = "failed"
    view.console.print(view.outcome_table())
    rows = [line.replace("|", "│").split("│") for line in capsys.readouterr().err.splitlines() if "we" in line]
    assert [[cell.strip() for cell in row[1:-1]] for row in rows] == [["weak", "0", "1", "1"], ["well", "4", "0", "0"]]
