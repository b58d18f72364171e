"""GPUs as Snakemake's resources, so that `--resources gpu=4` means four GPUs.

A run that has whole GPUs asks for `gpu: n`. A run that shares one cannot ask for a part of it, since Snakemake rounds.
So every run asks for `gpu_share` too, counted in parts small enough for every share of this config; the limit of
`gpu_share` follows from that of `gpu`.
"""

import math

from foldstack.estimates import times
from foldstack.gpus import inventory

PARTS = math.lcm(*(block["share"] for block in CONFIG["models"].values()))  # of one GPU
GPU_LIMIT = getattr(workflow.global_resources.get("gpu"), "value", None)
if workflow.remote_exec:
    # This is one job on its node: the default profile's limit for one workstation would cut a run of two GPUs to one.
    workflow.global_resources["gpu"] = None
elif GPU_LIMIT is not None:
    workflow.register_resource("gpu_share", GPU_LIMIT * PARTS)
# The executor is known only after parsing, but a run on other machines always sets a number of nodes.
ON_CLUSTER = workflow.remote_exec or workflow.nodes is not None  # the cluster assigns the GPUs, which are unknown here
if not ON_CLUSTER:
    with exit_with_message():
        inventory.check(CONFIG, GPU_LIMIT)
ON_GPUS = CONFIG["device"] != "cpu" and (ON_CLUSTER or bool(inventory.visible_gpus()))


def note_on_gpus():
    """What a person should know before the runs start; "" where all is as the config asks."""
    if CONFIG["device"] == "auto" and any(block["gpus"] for block in CONFIG["models"].values()):
        if not ON_GPUS or GPU_LIMIT == 0:
            found = "--resources gpu=0" if ON_GPUS else "No GPU found"
            return f"{found}: runs train on the CPU, as many side by side as --cores allows."
    if ON_CLUSTER and any(block["devices"] for block in CONFIG["models"].values()):
        return "`devices` is ignored: the cluster assigns the GPUs."
    return ""


def asked_gpus(block):
    """The GPUs of a run; `auto` is all that it may have here (Snakemake cuts it to the limit), 1 on a cluster."""
    if block["gpus"] != "auto":
        return block["gpus"]
    return 1 if ON_CLUSTER else len(inventory.choose(block["devices"], "devices"))


def whole_gpus(block):
    """GPUs that a run has for itself: none where it shares one, trains on the CPU, or finds no GPU here."""
    return asked_gpus(block) if ON_GPUS and (block["share"] == 1 or ON_CLUSTER) else 0


def gpu_shares(block):
    """What a run takes of the GPUs here, whole ones or a share of one, in parts of a GPU."""
    return asked_gpus(block) * PARTS // block["share"] if ON_GPUS and not ON_CLUSTER else 0


def gpu_plan(block):
    """What a job needs to know to lease its GPUs, as JSON."""
    plan = {"devices": block["devices"], "others": CONFIG["devices"], "share": block["share"], "busy": CONFIG["busy"]}
    return configuration.canonical(plan)


def run_costs():
    """Estimated seconds that a run of each model takes; better known once the data are prepared."""
    return _run_costs(Path(RESULTS, "data", "dataset.json").exists())


@functools.cache
def _run_costs(data_are_prepared):
    return times.of_runs(Path(RESULTS), CONFIG)
