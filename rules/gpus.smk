"""Cards as Snakemake's resources, so that `--resources gpu=4` means four cards.

A run of whole cards asks for `gpu: n`. Runs that share a card cannot ask for a part of one (Snakemake rounds), so every
run asks for `gpu_share` too, in parts small enough for all of this config's shares; its limit follows from gpu's.

Snakemake knows its executor only after parsing, so what depends on it stands in functions.
"""

import math

PARTS = math.lcm(*(block["share"] for block in CONFIG["models"].values()))  # of one card
GPU_LIMIT = getattr(workflow.global_resources.get("gpu"), "value", None)
if workflow.remote_exec:
    # This is one job on its node: the default profile's limit for one workstation would cut a run of two cards to one.
    workflow.global_resources["gpu"] = None
elif GPU_LIMIT is not None:
    workflow.register_resource("gpu_share", GPU_LIMIT * PARTS)


def on_cluster():
    """Whether the jobs run on other machines, whose cards are assigned there and unknown here."""
    return workflow.remote_exec or workflow.non_local_exec


@functools.cache
def on_cards():
    """Whether runs train on cards; stops where the config asks for cards that are not there."""
    if on_cluster():
        return CONFIG["device"] != "cpu"
    with stopping_clearly():
        cards.check(CONFIG, GPU_LIMIT)
    return CONFIG["device"] != "cpu" and bool(cards.visible_cards())


def note_on_cards():
    """What a person should know before the runs start; "" where all is as the config asks."""
    if CONFIG["device"] == "auto" and any(block["gpus"] for block in CONFIG["models"].values()):
        if not on_cards() or GPU_LIMIT == 0:
            found = "--resources gpu=0" if on_cards() else "No GPU found"
            return f"{found}: runs train on the CPU, as many side by side as --cores allows."
    if on_cluster() and any(block["devices"] for block in CONFIG["models"].values()):
        return "devices is left unheeded: the cluster assigns the cards."
    return ""


def whole_cards(wildcards):
    """Cards that a run has for itself: none where it shares one, trains on the CPU, or finds no card here."""
    block = CONFIG["models"][wildcards.model]
    return block["gpus"] if on_cards() and (block["share"] == 1 or on_cluster()) else 0


def card_shares(wildcards):
    """The same in parts of a card."""
    block = CONFIG["models"][wildcards.model]
    return block["gpus"] * PARTS // block["share"] if on_cards() and not on_cluster() else 0


def card_plan(model):
    """What a job needs to know to lease its cards, as JSON."""
    block = CONFIG["models"][model]
    plan = {"devices": block["devices"], "others": CONFIG["devices"], "share": block["share"], "busy": CONFIG["busy"]}
    return configuration.canonical(plan)


def run_costs():
    """Seconds that a run of each model takes, about; known better once the data are prepared."""
    return _run_costs(Path(RESULTS, "data", "dataset.json").exists())


@functools.cache
def _run_costs(prepared):
    return costs.of_runs(Path(RESULTS), CONFIG)
