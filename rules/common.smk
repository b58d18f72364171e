"""The validated config, and the few functions that rules share. Nothing here imports torch."""

import contextlib
import functools
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from foldstack.config import grid
from foldstack.config import resolve as configuration
from foldstack.ensemble import quorum
from foldstack.errors import FoldstackError
from foldstack.gpus import costs, inventory
from foldstack.jobs import lock, terminal
from foldstack.models import pretrained, registry
from foldstack.reruns import code_digest, reasons, sources
from foldstack.text import settings as texts

reasons.attach(logger)


@contextlib.contextmanager
def stopping_clearly():
    """End with the sentence alone; Snakemake would add its own place in this file to an exception's text."""
    try:
        yield
    except FoldstackError as error:
        raise SystemExit(str(error)) from None


with stopping_clearly():
    lock.check_folder(Path.cwd())
    for path in workflow.overwrite_configfiles or workflow.configfiles:
        configuration.check_file(path)
    CONFIG = configuration.resolve(config)
    SOURCES = {section: sources.digest(CONFIG[section]) for section in ("data", "predict")}

MEMBERS = configuration.members(CONFIG)
FOLDS = range(CONFIG["folds"]["n_splits"])
STUDENT = CONFIG["variants"]["student"]
EVERYTHING = CONFIG["folds"]["n_splits"]  # the student's fold that holds nothing out
ENCODERS = {
    texts.slug(block["text"]["encoder"]): block["text"]["encoder"]
    for block in CONFIG["models"].values()
    if block.get("text")
}
TWO_HALVES = [name for name in MEMBERS if CONFIG["models"][name].get("text", {}).get("train") == "frozen"]
CAPTIONED = [name for name in MEMBERS if CONFIG["models"][name].get("text", {}).get("captions")]
RESULTS = f"results/{CONFIG['experiment']}"
LINE = f"{RESULTS}/{{line}}"  # of a check, see rules/checks.smk
if CONFIG["stack"]["quorum"] < 1 and workflow.is_main_process and lock.is_free(Path(RESULTS)):
    quorum.remove_failed(Path(RESULTS))  # those of an invocation that was killed; the others went at its end


def slice_of(*sections):
    """Sections of the config as the one JSON param by which Snakemake notices their change."""
    return configuration.canonical({name: CONFIG[name] for name in sections})


def decisive_slice():
    """The config as far as it decides a result, defaults filled in: what the report shows of it."""
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


def prepared(path):
    """Input function for a file of the data or folds stage.

    It asks for the checkpoint first: when the prepared data come out with the same content as before, nothing
    behind them runs again (their digests in `content` decide, not the files' times).
    """

    def file(wildcards):
        checkpoints.assign_folds.get()
        return f"{RESULTS}/{path}"

    return file


def content(wildcards):
    """Digests of the prepared data and folds."""
    summary = Path(prepared("folds/folds.json")(wildcards))
    return _content(summary, summary.stat().st_mtime_ns)


@functools.cache
def _content(summary, mtime):
    folds = json.loads(summary.read_text())
    return f"data {folds['data_digest']} folds {folds['digest']}"


def run_files(name, models=None, results=RESULTS):
    """Pattern-expanded paths of one file of every run of `models` (default: all)."""
    return [
        f"{results}/models/{model}/seed{seed}/fold{fold}/{name}"
        for model in (models or MEMBERS)
        for seed in MEMBERS[model]
        for fold in FOLDS
    ]


def variant_code(script, variant):
    """As `code`; what makes or checks the student reaches its architecture."""
    return code(script, architecture=STUDENT["architecture"]) if variant == "student" else code(script)


def student_runs(folds):
    """run.json of the students of these folds; none where the config asks for no student."""
    return [f"{RESULTS}/student/fold{fold}/run.json" for fold in folds if STUDENT]


def class_prompts(wildcards):
    """The prompts of a model that has any, and the record of their encoder; the encoder where it is trained too."""
    text = CONFIG["models"][wildcards.model].get("text")
    if not text:
        return []
    encoder = encoder_of(wildcards)
    own = [f"{RESULTS}/prompts/{wildcards.model}.safetensors", f"{encoder}.json"]
    return own if text["train"] == "frozen" else [*own, encoder]


def encoder_of(wildcards):
    """The folder of a model's text encoder."""
    return f"{RESULTS}/encoders/{texts.slug(CONFIG['models'][wildcards.model]['text']['encoder'])}"


def dual_folders(wildcards):
    """The folders of all models of which both halves can be written."""
    with stopping_clearly():
        texts.check_dual(TWO_HALVES)
    return [f"{RESULTS}/export/dual/{model}" for model in TWO_HALVES]


def captions_of(wildcards):
    """The embedded captions of all samples, for a model that learns from them."""
    text = CONFIG["models"][wildcards.model].get("text")
    return f"{RESULTS}/captions/{texts.slug(text['encoder'])}.safetensors" if text and text["captions"] else []


def given_weights(wildcards):
    """The user's own file of weights for a model, where the config names one."""
    path = pretrained.local_file(CONFIG["models"][wildcards.model]["pretrained"])
    return str(path) if path else []


def pretrained_weights(wildcards):
    """The fetched weights of a model and their record; nothing for a model that starts afresh."""
    if not CONFIG["models"][wildcards.model]["pretrained"]:
        return []
    return [f"{RESULTS}/pretrained/{wildcards.model}.{kind}" for kind in ("safetensors", "json")]


def weights_slice(model):
    """What decides the weights that a model starts from."""
    block = CONFIG["models"][model]
    architecture = registry.starts_from(block["architecture"], block["options"])
    return configuration.canonical({"architecture": architecture, "pretrained": block["pretrained"]})


def member_files(stage, results=RESULTS):
    """Paths of one table per (model, seed)."""
    return [f"{results}/{stage}/{model}/seed{seed}.parquet" for model, seeds in MEMBERS.items() for seed in seeds]


def made_on_the_way(results=RESULTS):
    """One file of each job that the final files come from, for targets to ask for by themselves.

    Snakemake removes the outputs of a job before the job starts. Was it then killed, they are missing, and would not be
    missed as long as what was made from the earlier ones is there: the next invocation would call that up to date.
    """
    tables = [f"{results}/{name}" for name in ("data/samples.parquet", "folds/folds.parquet", "stack/stack.json")]
    return [*tables, *run_files("run.json", results=results), *member_files("oof", results)]


def exported_on_the_way():
    """As `made_on_the_way`, of the evaluation and the export."""
    return [
        f"{RESULTS}/evaluation/metrics.json",
        *(f"{RESULTS}/export/models/{model}.onnx" for model in MEMBERS),
        *(f"{RESULTS}/export/parity/{model}.json" for model in MEMBERS),
        f"{RESULTS}/export/parity.json",
    ]


def line_files(name):
    """Paths of one file of every fold of one model and seed of a check."""
    return [f"{LINE}/models/{{model}}/seed{{seed}}/fold{fold}/{name}" for fold in FOLDS]


def line_training(wildcards):
    """A model's slice of the config in a check; under `leakcheck` with at most `leakcheck.epochs` epochs."""
    block, most = configuration.training_slice(CONFIG, wildcards.model), CONFIG["leakcheck"]["epochs"]
    if wildcards.line == "leakcheck":
        block = block | {"epochs": min(block["epochs"], most or block["epochs"])}
    return configuration.canonical(block)


def line_folds(wildcards):
    """The folds of a check; under `repeated` with a seed of their own."""
    draw = re.fullmatch(r"repeated/draw(\d+)", wildcards.line)
    seed = (CONFIG["folds"]["seed"] + int(draw[1] if draw else 0)) % 2**32
    return configuration.canonical({"folds": CONFIG["folds"] | {"seed": seed}})
