"""Checks of the config that need more than one key, the machine's files or the source of an architecture.

Runs at Snakemake's parse time: standard library only.
"""

import difflib
import os

from foldstack.config import intake_checks, training_checks
from foldstack.errors import FoldstackError
from foldstack.models import registry
from foldstack.models.pairs.options import options_problem
from foldstack.text import settings

PAIR_FORMATS = {"digits_pairs", "npz_pairs"}
OPTION_CHECKS = {"pair_net": options_problem}  # architectures with options that exclude each other
BUILT_IN_FORMATS = {"digits", "digits_pairs"}


def check(config: dict) -> None:
    """Refuse a resolved config that cannot work; raises FoldstackError, which names the key and the remedy."""
    data = config["data"]
    if data["format"] in BUILT_IN_FORMATS:
        if data["path"] or data["test_path"]:
            raise FoldstackError(
                f"Config: data.path has no meaning for the built-in format {data['format']!r}; remove it."
            )
    elif not data["path"]:
        raise FoldstackError(f"Config: data.format {data['format']!r} needs data.path, the folder or file to read.")
    for key in ("data", "predict"):
        for name in ("path", "test_path"):
            if config[key].get(name):
                _check_path(f"{key}.{name}", config[key][name], key, config[key]["format"])
        intake_checks.check(key, config[key])
    task = "pairs" if data["format"] in PAIR_FORMATS else "images"
    if config["predict"]["path"] and (config["predict"]["format"] in PAIR_FORMATS) != (task == "pairs"):
        raise FoldstackError(f"Config: predict.format {config['predict']['format']!r} does not fit a model of {task}.")
    if None not in config["evaluation"]["thresholds"].values():
        raise FoldstackError("Config: evaluation.thresholds takes precision or recall, not both; remove one of them.")
    known = registry.known_architectures()
    if config["variants"]["student"] is not None:
        _check_student(config["variants"]["student"], task, known)
    _check_stages(config["stages"], config["models"])
    lower: dict[str, str] = {}
    for name, block in config["models"].items():
        _check_model(name, block, task, known)
        settings.check_captions(name, block, data["format"])
        if lower.setdefault(name.lower(), name) != name:
            raise FoldstackError(
                f"Config: models.{name} and models.{lower[name.lower()]} differ in case only; rename one."
            )


def _check_stages(stages: list[dict], models: dict) -> None:
    seen: dict[str, str] = {}
    for stage in stages:
        for name in stage["models"]:
            if name not in models:
                near = difflib.get_close_matches(name, models, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"the models are {', '.join(sorted(models))}."
                raise FoldstackError(f"Config: stages: {stage['name']!r} adds {name!r}, which is not a model; {hint}")
            if name in seen:
                raise FoldstackError(
                    f"Config: stages: {stage['name']!r} adds {name!r}, as {seen[name]!r} did; drop one of them."
                )
            seen[name] = stage["name"]


def _check_path(where: str, path: str, section: str, form: str) -> None:
    if path.startswith("~"):
        raise FoldstackError(f"Config: {where} {path!r}: ~ is not replaced in a config; write the full path.")
    if not os.path.exists(path):
        raise FoldstackError(
            f"Config: {where} {path!r} does not exist or lies in a folder that you may not read; "
            "give an existing file or folder."
        )
    folder = os.path.isdir(path)
    # A folder with train.npz and test.npz is a data set; new data to label are one file.
    kind = "folder" if form == "imagefolder" else "file" if form == "csv" or section == "predict" else ""
    if kind and folder != (kind == "folder"):
        raise FoldstackError(
            f"Config: {where} {path!r} is not a {kind}, which {section}.format {form!r} reads; correct one of the two."
        )
    if not os.access(path, os.R_OK | (os.X_OK if folder else 0)):
        raise FoldstackError(f"Config: {where} {path!r} may not be read by this user; change its permissions.")


def _check_model(name: str, block: dict, task: str, known: list[str]) -> None:
    architecture = block["architecture"]
    if architecture not in known:
        own, _, tag = architecture.partition(".")
        if own in registry.timm_architectures() and tag in registry.timm_weights(own):
            raise FoldstackError(
                f"Config: models.{name}: {architecture!r} names weights of {own!r}; write architecture: {own} and "
                f"pretrained: {tag}."
            )
        near = difflib.get_close_matches(architecture, known, n=3, cutoff=0.4)
        raise FoldstackError(
            f"Config: models.{name}: there is no architecture {architecture!r}; "
            + (f"similar names are {', '.join(near)}." if near else "see docs/how-to/models.md.")
        )
    fits = registry.task_of(architecture)
    if fits != task:
        raise FoldstackError(
            f"Config: models.{name}: the architecture {architecture!r} is for {fits}, but data.format gives {task}."
        )
    _check_options(name, architecture, block["options"])
    settings.check(name, block)
    training_checks.check(name, block, task)
    if block["swap"] and task != "pairs":
        raise FoldstackError(f"Config: models.{name}: swap is for pairs, but data.format gives {task}; drop it.")
    if block["share"] > 1 and block["gpus"] not in (0, 1):
        raise FoldstackError(
            f"Config: models.{name}: a run on {block['gpus']} GPUs cannot share one with others (share: "
            f"{block['share']}); set one of the two to 1."
        )
    if block["selection"] == "final":
        for key, value in (("early_stopping", block["early_stopping"]), ("schedule", block["schedule"])):
            if value and (key != "schedule" or value == "plateau"):
                raise FoldstackError(
                    f"Config: models.{name}: {key}: {value} needs an inner split; set selection: inner or drop {key}."
                )


def _check_student(block: dict, task: str, known: list[str]) -> None:
    try:
        _check_model("student", block, task, known)
    except FoldstackError as error:
        raise FoldstackError(str(error).replace("models.student", "variants.student")) from None
    reasons = {
        "seeds": len(block["seeds"]) > 1 and "a student is one network: give one seed",
        "text": block.get("text") and "soft labels are learned without it",
        "loss": block["loss"] != "cross_entropy" and "soft labels are learned by cross_entropy",
        "swap": block["swap"] and "soft labels are learned without it",
        "share": block["share"] > 1 and "a student does not share its GPU",
        "augment": settings.mixes(block) and "soft labels are learned from whole images",
        "pretrained": block["pretrained"] and "a student starts from random weights",
    }
    for key, reason in reasons.items():
        if reason:
            raise FoldstackError(f"Config: variants.student.{key} is {block[key]!r}, but {reason}; change or drop it.")


def _check_options(name: str, architecture: str, options: dict) -> None:
    """Options of our own architectures are read from their source; those of timm are known only after importing it."""
    if architecture not in registry.own_architectures():
        return
    given = registry.SET_BY_WORKFLOW.get(architecture, ())
    known = {key: kind for key, kind in registry.own_options(architecture).items() if key not in given}
    for option, value in options.items():
        if option not in known:
            near = difflib.get_close_matches(option, list(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}."
            raise FoldstackError(f"Config: models.{name}.options: {architecture!r} has no option {option!r}; {hint}")
        problem = registry.option_problem(known[option], value)
        if problem:
            raise FoldstackError(f"Config: models.{name}.options.{option} of {architecture!r} is {value!r}; {problem}")
    problem = OPTION_CHECKS[architecture](options) if architecture in OPTION_CHECKS else None
    if problem:
        raise FoldstackError(f"Config: models.{name}.options: {problem}.")
