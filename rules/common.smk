"""The validated config, and the functions that several rule files share. Nothing here imports torch.

Functions are here and in gpus.smk, since `snakemake --lint` accepts none in a file of rules.
"""

import contextlib
import functools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from foldstack.config import grid
from foldstack.config import resolve as configuration
from foldstack.ensemble import quorum
from foldstack.errors import FoldstackError
from foldstack.jobs import failed_trace, lock, terminal
from foldstack.models import registry
from foldstack.reruns import code_digest, reasons, sources

reasons.attach(logger)


@contextlib.contextmanager
def exit_with_message():
    """Exit with the error's message only; Snakemake would add a position in this file."""
    try:
        yield
    except FoldstackError as error:
        raise SystemExit(str(error)) from None


with exit_with_message():
    lock.check_folder(Path.cwd())
    for path in workflow.overwrite_configfiles or workflow.configfiles:
        configuration.check_file(path)
    CONFIG = configuration.resolve(config)
    SOURCES = {section: sources.digest(CONFIG[section], section) for section in ("data", "predict")}

MEMBERS = configuration.members(CONFIG)
FOLDS = range(CONFIG["folds"]["n_splits"])
RESULTS = f"results/{CONFIG['experiment']}"
PREPARED = {
    "samples": "data/samples.parquet",
    "pixels": "data/pixels.npy",
    "dataset": "data/dataset.json",
    "duplicates": "data/duplicates.parquet",
    "intake": "data/intake.json",
    "folds": "folds/folds.parquet",
    "folds_summary": "folds/folds.json",
}
if CONFIG["stack"]["quorum"] < 1 and workflow.is_main_process and lock.is_free(Path(RESULTS)):
    quorum.remove_failed(Path(RESULTS))  # left by an invocation that was killed; the others remove theirs at their end


def slice_of(*sections):
    """Sections of the config as one JSON param, by which Snakemake notices a change of them."""
    return configuration.canonical({name: CONFIG[name] for name in sections})


@functools.cache
def slice_of_run(model):
    """As `slice_of`: what the config says of the runs of a model."""
    return configuration.canonical(configuration.training_slice(CONFIG, model))


def decisive_slice():
    """The part of the config that decides a result, defaults filled in: what the report shows of it."""
    sections = {name: CONFIG[name] for name in ("experiment", "data", "folds", "stack", "evaluation")}
    models = {name: configuration.training_slice(CONFIG, name) | {"seeds": seeds} for name, seeds in MEMBERS.items()}
    grids = grid.self_contained(CONFIG["grid"], CONFIG["training"] | {"seeds": CONFIG["seeds"]})
    for spec in grid.layout(grids).values():
        models = {name: block for name, block in models.items() if name not in spec["models"]}
    given = {name: value for name, value in (("grid", grids), ("stages", CONFIG["stages"])) if value}
    return configuration.canonical(sections | {"models": models} | given)


@functools.cache
def code(script, model=None, architecture=None):
    """The digest of all code that `script` can reach; with `model`, of its architecture too."""
    architecture = CONFIG["models"][model]["architecture"] if model else architecture
    found = code_digest.of_script(script, (registry.module_name(architecture),) if architecture else ())
    code_digest.remember(found)
    return found.digest


def prepared(name):
    """Input function for one file of the data and folds stages, by its key in PREPARED.

    It asks for the checkpoint first: when data preparation writes the same content as before, no later job runs again
    (the digests in `content` decide, not the files' times).
    """

    def file(wildcards):
        wait_for_folds()
        return f"{RESULTS}/{PREPARED[name]}"

    return file


@functools.cache
def wait_for_folds():
    """Raise what tells Snakemake to wait, until the checkpoint is done; then never ask again, since asking takes time."""
    checkpoints.assign_folds.get()


def prepared_inputs(*names):
    """Named inputs of a rule: files of the data and folds stages, whose times do not count.

    They come from one function, since thousands of runs ask for them.
    """

    def files(wildcards):
        wait_for_folds()
        return {name: ancient(f"{RESULTS}/{PREPARED[name]}") for name in names}

    return ancient(unpack(files))  # the first also for the checkpoint, which Snakemake asks for in their place


def content(wildcards):
    """Digests of the prepared data and folds."""
    summary = Path(prepared("folds_summary")(wildcards))
    return _content(summary, summary.stat().st_mtime_ns)


@functools.cache
def _content(summary, mtime):
    folds = json.loads(summary.read_text())
    return f"data {folds['data_digest']} folds {folds['digest']}"


def data_shape(wildcards):
    """What of dataset.json decides the shape of a network: other images of the same classes and size change nothing."""
    dataset = json.loads(Path(prepared("dataset")(wildcards)).read_text())
    shape = {key: dataset[key] for key in ("task", "image_size", "channels")}
    return configuration.canonical(shape | {"classes": len(dataset["classes"])})


def intake_content(wildcards):
    """Digest of the account of the data, which may change while the data do not."""
    return sources.content(Path(prepared("intake")(wildcards)))


def run_files(name, models=None, results="<results>"):
    """One file of every run of `models` (default: all)."""
    return [
        f"{results}/models/{model}/seed{seed}/fold{fold}/{name}"
        for model in (models or MEMBERS)
        for seed in MEMBERS[model]
        for fold in FOLDS
    ]


def member_files(stage, results="<results>"):
    """One table per (model, seed)."""
    return [f"{results}/{stage}/{model}/seed{seed}.arrow" for model, seeds in MEMBERS.items() for seed in seeds]


def run_places(results, run):
    """Params: where a run writes files that are not outputs; `run` is its name as a pattern: "{model}/seed{seed}/fold{fold}"."""
    return {
        # It takes `output` so that Snakemake does not track it.
        "events": lambda wildcards, output: f"{results}/tensorboard/{run}".format(**dict(wildcards.items())),
        # Checkpoints are not declared outputs: Snakemake would delete them before the job starts again.
        "work": f"{results}/work",
        "progress": f"{results}/work/progress/{'.'.join(Path(run).parts)}.json",
    }


def intermediate_files(results="<results>"):
    """One output of each job between the data and the stack, which a target asks for besides its final files.

    Snakemake removes a job's outputs before the job starts. If that job is then killed, Snakemake does not miss them as
    long as the files made from the earlier ones are there, and the next invocation would call those up to date.
    """
    tables = [f"{results}/{name}" for name in ("data/samples.parquet", "folds/folds.parquet", "stack/stack.json")]
    return [*tables, *run_files("run.json", results=results), *member_files("oof", results)]


def dual_folders(wildcards):
    """The folder of each model whose image and text halves can be exported."""
    with exit_with_message():
        texts.check_dual(DUAL_MODELS)
    return expand("<results>/export/dual/{model}", model=DUAL_MODELS)
