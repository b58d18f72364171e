"""Cards as Snakemake's resources, so that `--resources gpu=4` means four cards.

A run of whole cards asks for `gpu: n`. Runs that share a card cannot ask for a part of one (Snakemake rounds), so every
run asks for `gpu_share` too, in parts small enough for all of this config's shares; its limit follows from gpu's.
"""

import math

PARTS = math.lcm(*(block["share"] for block in CONFIG["models"].values()))  # of one card
GPU_LIMIT = getattr(workflow.global_resources.get("gpu"), "value", None)
if workflow.remote_exec:
    # This is one job on its node: the default profile's limit for one workstation would cut a run of two cards to one.
    workflow.global_resources["gpu"] = None
elif GPU_LIMIT is not None:
    workflow.register_resource("gpu_share", GPU_LIMIT * PARTS)
# The executor itself is known only after parsing, but a number of nodes is given for those that use other machines.
ON_CLUSTER = workflow.remote_exec or workflow.nodes is not None  # cards are assigned there, and unknown here
if not ON_CLUSTER:
    with stopping_clearly():
        inventory.check(CONFIG, GPU_LIMIT)
ON_CARDS = CONFIG["device"] != "cpu" and (ON_CLUSTER or bool(inventory.visible_cards()))


def note_on_cards():
    """What a person should know before the runs start; "" where all is as the config asks."""
    if CONFIG["device"] == "auto" and any(block["gpus"] for block in CONFIG["models"].values()):
        if not ON_CARDS or GPU_LIMIT == 0:
            found = "--resources gpu=0" if ON_CARDS else "No GPU found"
            return f"{found}: runs train on the CPU, as many side by side as --cores allows."
    if ON_CLUSTER and any(block["devices"] for block in CONFIG["models"].values()):
        return "devices is left unheeded: the cluster assigns the cards."
    return ""


def asked_cards(block):
    """The cards of a model's run; `auto` is all that it may have here (Snakemake cuts it to the limit), 1 elsewhere."""
    if block["gpus"] != "auto":
        return block["gpus"]
    return 1 if ON_CLUSTER else len(inventory.choose(block["devices"], "devices"))


def whole_cards(wildcards):
    """Cards that a run has for itself: none where it shares one, trains on the CPU, or finds no card here."""
    block = CONFIG["models"][wildcards.model]
    return asked_cards(block) if ON_CARDS and (block["share"] == 1 or ON_CLUSTER) else 0


def card_shares(wildcards):
    """The same in parts of a card."""
    block = CONFIG["models"][wildcards.model]
    return asked_cards(block) * PARTS // block["share"] if ON_CARDS and not ON_CLUSTER else 0


def student_cards(wildcards):
    """Cards of a student's run, always whole ones."""
    return asked_cards(STUDENT) if ON_CARDS else 0


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
