"""What a person sees while the workflow runs: each run's state, the running ones' figures, and the time left.

Fed by Snakemake's own log records (they carry an `event`), so that it knows what Snakemake knows; Snakemake's
log file keeps its whole text. In a terminal the lines are redrawn; elsewhere one line is printed as each run ends, and
now and then one on each other long job.
"""

import contextlib
import functools
import json
import logging
import sys
import threading
import time
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from foldstack.jobs import lock
from foldstack.jobs.progress import read_progress, stage_file
from foldstack.runs import RUN_FILES, RUN_RULE, run_folder

DATA_RULE, FOLDS_RULE = "prepare_data", "assign_folds"
CHECK_RULE = "check_train_fold"  # a run of `leakcheck`, `nested` or `repeated`
MARKS = {"waiting": ("·", "dim"), "running": ("◐", "cyan"), "done": ("●", "green"), "failed": ("✗", "bold red")}
QUIET_EVENTS = {"job_info", "job_started", "job_finished", "progress", "shellcmd", "job_error", "group_info"}
QUIET_TEXTS = ("DAG of jobs will be updated", "Select jobs to execute", "Execute ", "Removing output files of failed")
SILENCE = 10.0, 30.0  # seconds without a terminal: until the first line on a long job, and between two lines
_view = None


def watch(logger: logging.Logger, dag, results: Path, members: dict[str, list[int]], n_splits: int) -> None:
    """Start the display; Snakemake's `onstart` calls it with its logger and its DAG of jobs.

    Raises:
        FoldstackError: another snakemake is using these results, or they cannot be written.
    """
    global _view
    lock.hold(results)
    _view = _View(dag, results, members, n_splits)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.addFilter(functools.partial(_view.takes_over, handler))
    logger.addHandler(_view)
    _view.live.start()
    if not _view.console.is_terminal:
        threading.Thread(target=_view.speak, daemon=True).start()


def finish(results: Path, failed: bool) -> None:
    """Stop the display; print the summary, or what failed. Snakemake's `onsuccess` and `onerror` call it."""
    if _view is None:
        return
    _view.live.stop()
    _view.ended.set()
    console = _view.console
    if failed or "failed" in _view.runs.values():
        console.print(_view.outcome_table())
    if failed:
        console.print(_view.failure_table())
        console.print("Completed runs are kept. Run the same command to finish the rest.", highlight=False)
    elif (results / "evaluation" / "summary.txt").exists():
        print((results / "evaluation" / "summary.txt").read_text(encoding="utf-8"))
        print(f"Where to look next: {results}/evaluation/  {results}/export/  {results}/predictions/")
        print("The whole report:   snakemake --report report.html   (with the same --configfile, if you gave one)")


class _View(logging.Handler):
    """Follows the records of one invocation; state is kept by (rule, wildcards), since job numbers change."""

    def __init__(self, dag, results: Path, members: dict[str, list[int]], n_splits: int):
        super().__init__()
        self.console = Console(file=sys.stderr, highlight=False)
        self.results, self.n_splits = results, n_splits
        self.started_at, self.finished_jobs, self.total_jobs = time.monotonic(), 0, len(dag)
        self.jobs: dict[int, tuple] = {}
        self.failures: list[tuple[str, str, str]] = []
        self.logs: dict[int, list[str]] = {}
        self.other: dict[int, _Job] = {}
        self.ended = threading.Event()
        self.first_run_at: float | None = None
        self.runs_ended = 0
        self.guard = threading.RLock()
        needed = list(dag.needrun_jobs())
        pending = {_run_of(job.wildcards_dict) for job in needed if job.rule.name == RUN_RULE}
        if needed and not any(job.rule.name == FOLDS_RULE for job in needed):
            self._tell_cautions()  # of the existing folds, which will be used
        self.runs = {
            run: "done" if run not in pending and (run_folder(results, *run) / RUN_FILES["run"]).exists() else "waiting"
            for run in ((m, s, f) for m, seeds in members.items() for s in seeds for f in range(n_splits))
        }
        self.live = Live(
            console=self.console,
            get_renderable=self.render,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def takes_over(self, handler: logging.Handler, record: logging.LogRecord) -> bool:
        """Filter of Snakemake's own terminal handler: leaves out what the display shows, prints the rest above it."""
        event = str(getattr(record, "event", "") or "")
        if not self.live.is_started:
            return True
        if event in QUIET_EVENTS or (record.levelno >= logging.ERROR and self.failures):
            return False
        text = (handler.format(record) or "").strip()
        if "CalledProcessError in file" in text:
            return False  # a job's script failed; its error follows as an event of its own
        if text and not text.startswith(QUIET_TEXTS):
            self.console.print(Text(text, style="red" if record.levelno >= logging.ERROR else ""))
        return False

    def emit(self, record: logging.LogRecord) -> None:
        event, said = str(getattr(record, "event", "") or ""), vars(record)  # with what Snakemake adds
        with self.guard:
            if event == "job_info":
                self.jobs[said["jobid"]] = (said["rule_name"], dict(said["wildcards"] or {}))
                self.logs[said["jobid"]] = list(said.get("log") or [])
                self._set(said["jobid"], "running")
            elif event == "job_finished":
                self._set(said["job_id"], self._ended(said["job_id"]))
            elif event == "job_error":
                self._fail(record)
            elif event == "progress":
                self.finished_jobs, self.total_jobs = said["done"], said["total"]

    def _ended(self, jobid: int) -> str:
        """A run that failed under `stack.quorum` ends as a job that succeeds; its weights are empty."""
        rule, wildcards = self.jobs.get(jobid, ("", {}))
        if rule != RUN_RULE:
            return "done"
        weights = run_folder(self.results, *_run_of(wildcards)) / RUN_FILES["weights"]
        return "done" if weights.exists() and weights.stat().st_size else "failed"

    def _set(self, jobid: int, state: str) -> None:
        rule, wildcards = self.jobs.get(jobid, ("", {}))
        if rule == FOLDS_RULE and state == "done":
            self._tell_cautions()
        if rule != RUN_RULE:
            if state == "running":
                name = " ".join([rule.replace("_", " "), *wildcards.values()])
                self.other[jobid] = _Job(name, self.results, self.logs.get(jobid))
            else:
                self.other.pop(jobid, None)
                if rule == DATA_RULE and state == "done":
                    self._tell_intake()
                if rule == CHECK_RULE and not self.console.is_terminal:
                    self.console.print(f"{self._headline()}   {' '.join(wildcards.values())} {state}", soft_wrap=True)
            return
        run = _run_of(wildcards)
        self.runs[run] = state
        if state == "running":
            self.first_run_at = self.first_run_at or time.monotonic()
            return
        self.runs_ended += 1
        if not self.console.is_terminal:
            self.console.print(f"{self._headline()}   {_name(run)} {state} {self._figures(run)}", soft_wrap=True)

    def speak(self) -> None:
        """Without a terminal: a line now and then on each job that runs for long and says how far it is."""
        while not self.ended.wait(1.0):
            with self.guard:
                for job in self.other.values():
                    far = job.how_far()
                    if far and time.monotonic() > job.speak_at:
                        job.speak_at = time.monotonic() + SILENCE[1]
                        self.console.print(f"{self._headline()}   {job.name}: {far}", soft_wrap=True)

    def _tell_cautions(self) -> None:
        """Print the cautions about the folds before anything trains on them."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            summary = json.loads((self.results / "folds" / "folds.json").read_text(encoding="utf-8"))
            for text in summary["cautions"]:
                self.console.print(Text(f"CAUTION: {text}", style="yellow"), soft_wrap=True)

    def _tell_intake(self) -> None:
        """Three lines on which data were taken and which were not."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = json.loads((self.results / "data" / "intake.json").read_text(encoding="utf-8"))
            for line in found["lines"]:
                self.console.print(Text(line), soft_wrap=True)

    def _fail(self, record) -> None:
        rule, wildcards = self.jobs.get(record.jobid, (record.rule_name, {}))
        log = str(record.log[0]) if record.log else ""
        self._set(record.jobid, "failed")
        self.failures.append((" ".join([rule, *(f"{k} {v}" for k, v in wildcards.items())]), _last_line(log), log))
        name, reason, log = self.failures[-1]
        self.console.print(Text(f"✗ {name}: {reason}\n  log: {log}", style="red"), soft_wrap=True)

    def failure_table(self) -> Table:
        table = Table(title="Failed", title_justify="left", title_style="bold red")
        for column in ("job", "why", "log"):
            table.add_column(column, overflow="fold")
        for row in self.failures:
            table.add_row(*row)
        return table

    def outcome_table(self) -> Table:
        """How many runs of each model completed, failed, or did not start."""
        table = Table("model", "done", "failed", "not run", title="Models", title_justify="left")
        for model in dict.fromkeys(model for model, _, _ in self.runs):
            states = [state for run, state in self.runs.items() if run[0] == model]
            counts = [states.count("done"), states.count("failed")]
            table.add_row(model, *map(str, [*counts, len(states) - sum(counts)]), style="red" if counts[1] else "")
        return table

    def render(self):
        with self.guard:
            running = [run for run, state in self.runs.items() if state == "running"]
            lines: list[RenderableType] = [Text(self._headline(), style="bold"), self._grid()]
            lines += [Text(f"  {_name(run)}  {self._figures(run)}") for run in running]
            lines += [Text(f"  {job.name}  {job.how_far()}".rstrip(), style="dim") for job in self.other.values()]
            return Group(*lines)

    def _headline(self) -> str:
        done = sum(state == "done" for state in self.runs.values())
        elapsed = _clock(time.monotonic() - self.started_at)
        text = f"runs {done}/{len(self.runs)}   jobs {self.finished_jobs}/{self.total_jobs}   {elapsed} elapsed"
        left = sum(state in ("waiting", "running") for state in self.runs.values())
        if self.first_run_at is not None and self.runs_ended and left:
            pace = (time.monotonic() - self.first_run_at) / self.runs_ended
            text += f"   about {_clock(pace * left)} of training left"
        return text

    def _grid(self) -> Table:
        """One row a model, one mark a run; models that are done or waiting are left out where there are many."""
        table = Table.grid(padding=(0, 1))
        models = list(dict.fromkeys(model for model, _, _ in self.runs))
        if len(models) > 12:
            models = [m for m in models if any(s in ("running", "failed") for r, s in self.runs.items() if r[0] == m)]
        for model in models:
            marks = Text()
            for (name, _, fold), state in self.runs.items():
                if name == model:
                    marks.append(MARKS[state][0], MARKS[state][1])
                    marks.append(" " if fold == self.n_splits - 1 else "")
            table.add_row(f"  {model}", marks)
        return table

    def _figures(self, run: tuple) -> str:
        model, seed, fold = run
        found = read_progress(self.results / "work" / "progress" / f"{model}.seed{seed}.fold{fold}.json")
        if not found:
            return ""
        if found.get("reused"):
            return "reused from an earlier run"
        if found.get("waiting"):
            return found["waiting"]
        parts = [f"epoch {found['epoch']}/{found['epochs']}"]
        if found.get("train_loss") is not None:
            parts.append(f"loss {found['train_loss']:.3f}")
        if found.get("inner_accuracy") is not None:
            parts.append(f"inner accuracy {found['inner_accuracy']:.3f}")
        if found.get("images_per_second"):
            parts.append(f"{found['images_per_second']:,.0f} images/s")
        if found.get("seconds_left") and self.runs[run] == "running":
            parts.append(f"{_clock(found['seconds_left'])} left")
        return "  ".join(parts)


class _Job:
    """A job that is no run: what it is called, where it says how far it is, and when to say so without a terminal."""

    def __init__(self, name: str, results: Path, logs: list[str] | None):
        self.name, self.speak_at = name, time.monotonic() + SILENCE[0]
        self.stages = stage_file(results, Path(logs[0])) if logs else None
        if self.stages:
            with contextlib.suppress(OSError):  # an earlier job that was killed left it
                self.stages.unlink(missing_ok=True)

    def how_far(self) -> str:
        """Such as "reading images 31 %  2:05 left"; "" where the job has not said."""
        found = read_progress(self.stages) if self.stages else None
        if not found:
            return ""
        left = f"  {_clock(found['seconds_left'])} left" if found["seconds_left"] is not None else ""
        return f"{found['what']} {found['share']:.0%}{left}".replace("%", " %")


def _run_of(wildcards: dict) -> tuple[str, int, int]:
    return wildcards["model"], int(wildcards["seed"]), int(wildcards["fold"])


def _name(run: tuple) -> str:
    return f"{run[0]} seed {run[1]} fold {run[2]}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _last_line(log: str) -> str:
    """The sentence in which a job's log ends; foldstack.jobs writes it last."""
    try:
        lines = [line for line in Path(log).read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    # A job that fails leaves a traceback and one that is stopped says so; a killed job's last line is about its work.
    if not any(line.startswith(("Traceback", "stopped by signal", "Snakemake has exited")) for line in lines):
        return "it was killed: its log gives no reason"
    return lines[-1].removeprefix("foldstack.errors.FoldstackError: ")
