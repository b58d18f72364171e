"""What jobs ask for, and what is said before anything runs: memory, time, disk (workflow/scripts/foldstack/estimates)."""

from foldstack.estimates import disk, words
from foldstack.estimates.experiment import Estimates

ESTIMATED_FROM = [Path(RESULTS, "data"), Path(RESULTS, "export", "traces")]


def estimates():
    """Of this experiment; made anew where its data were prepared or a network was traced meanwhile."""
    return _estimates(*(path.stat().st_mtime_ns if path.exists() else 0 for path in ESTIMATED_FROM))


@functools.cache
def _estimates(*times):
    return Estimates(CONFIG, Path(RESULTS), ON_GPUS)


def needs(rule):
    """Resources: `mem_mb` and `runtime` (minutes) of a rule's jobs, more at each further attempt. They change no result."""

    def memory(wildcards, attempt):
        return _needed(estimates(), rule, wildcards.get("model"), attempt)[0]

    def minutes(wildcards, attempt):
        return _needed(estimates(), rule, wildcards.get("model"), attempt)[1]

    return {"mem_mb": memory, "runtime": minutes}


@functools.cache
def _needed(found, rule, model, attempt):
    return found.asked_memory(rule, model, attempt), found.asked_minutes(rule, model, attempt)


def check_disk():
    """Exit where the disk cannot hold the results; say so where it hardly can."""
    with exit_with_message():
        caution = disk.check(Path(RESULTS), estimates().disk)
    if caution:
        logger.warning(caution)


if workflow.is_main_process and not any(isinstance(known, words.UnderThePlan) for known in logger.filters):
    logger.addFilter(words.UnderThePlan(lambda: words.in_short(estimates())))
