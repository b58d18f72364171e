"""What the workflow says and asks for before anything runs."""

import re

from project import TINY

ESTIMATES = "workflow/scripts/foldstack/estimates"


def asked(text: str, rule: str) -> set[str]:
    """The values of `mem_mb` of a rule's jobs in a dry run."""
    blocks = re.split(r"^(?=(?:local)?(?:rule|checkpoint) \w+:)", text, flags=re.MULTILINE)
    own = [block for block in blocks if re.match(rf"(?:rule|checkpoint) {rule}:", block)]
    return {re.search(r"\bmem_mb=(\d+)", block)[1] for block in own}


def test_another_estimate_asks_for_more_memory_and_runs_nothing_again(copy_of_finished):
    made = copy_of_finished
    before = made.run("-n", "--forceall")
    made.edit(f"{ESTIMATES}/memory.py", "MARGIN = 1.25", "MARGIN = 9")
    assert made.planned() == set()
    after = made.run("-n", "--forceall")
    for rule in ("train_fold", "fit_stacker", "evaluate", "export_ensemble", "verify_ensemble"):
        first, second = (asked(done.stdout + done.stderr, rule) for done in (before, after))
        assert min(map(int, second)) > max(map(int, first)), rule


def test_a_dry_run_says_what_is_not_known_before_the_networks_are_traced_and_what_is_known_then(project, finished):
    made = project(TINY)
    plan = made.run("-n")
    text = " ".join((plan.stdout + plan.stderr).split())
    assert "and the networks' weights, which are not known yet" in text
    assert "Exported file: not known yet; `snakemake traces` finds out." in text
    done = finished.run("-n", "--forceall")
    assert re.search(r"^Disk: about \d+ MB; .* free. Exported file: about \d+ MB.$", done.stdout + done.stderr, re.M)


def test_a_disk_that_cannot_hold_the_results_stops_before_any_job(project):
    made = project(TINY)
    made.edit(f"{ESTIMATES}/facts.py", "shutil.disk_usage(place).free", "100_000")
    done = made.run(check=False)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert re.search(r"The disk cannot hold this experiment: its results need \d+ MB more", text)
    assert "Traceback" not in text
    assert not list(made.results.rglob("*.parquet"))
