"""Learning rates as functions of the position in the run."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import nn

from foldstack.training.optimizers import _eager

# Schedules whose learning rates are the same whatever `epochs` is: a run can continue a shorter one.
OPEN_ENDED = ("constant", "step", "multistep", "plateau")
OF_TIMM = ("tanh", "poly", "multistep", "wsd", "rsqrt")
IMPROVEMENT = 1e-4  # relative, as in torch's ReduceLROnPlateau


def peak_rate(config: dict, world_size: int) -> float:
    """The `lr` of a run whose effective batch is `world_size` times `batch_size`.

    As timm's train.py: times the square root of that factor for adam, its relatives and lamb (Krizhevsky,
    arXiv:1404.5997, section 5; Granziol et al., arXiv:2006.09092), times the factor itself for sgd and all others
    (Goyal et al., arXiv:1706.02677).
    """
    adaptive = any(part in config["optimizer"] for part in ("ada", "lamb"))
    return config["lr"] * (math.sqrt(world_size) if adaptive else world_size)


def learning_rate(config: dict, step: int, steps_per_epoch: int, inner_losses: Sequence[float] = ()) -> float:
    """The learning rate of one optimizer step.

    Linear warm-up over `warmup_epochs`, then `schedule`: constant; cosine, which would reach `min_lr` one step after
    the last; step, times `decay` every `step_epochs` epochs; plateau, times `decay` whenever the inner loss has not
    improved for more than `plateau_patience` epochs (as torch's ReduceLROnPlateau); or one of timm's over the
    remaining steps.

    Args:
        step: 0-based, counted over the whole run.
        inner_losses: one a finished epoch; read by `plateau` only.
    """
    epoch = step // steps_per_epoch
    warmup, total = config["warmup_epochs"] * steps_per_epoch, config["epochs"] * steps_per_epoch
    if step < warmup:
        return config["lr"] * (step + 1) / (warmup + 1)
    if config["schedule"] == "cosine":
        lowest = config["min_lr"]
        return lowest + (config["lr"] - lowest) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
    if config["schedule"] == "step":
        return config["lr"] * config["decay"] ** (epoch // config["step_epochs"])
    if config["schedule"] == "plateau":
        return config["lr"] * config["decay"] ** plateaus(inner_losses, config["plateau_patience"])
    if config["schedule"] in OF_TIMM:
        # One step later, since timm decays in the step before a milestone.
        milestones = tuple(max(1, round(epoch * steps_per_epoch - warmup)) + 1 for epoch in config["milestones"])
        keys = {key: config[key] for key in ("schedule", "lr", "min_lr", "decay")}
        rate = _rate_of_timm(milestones=milestones, steps=math.ceil(total - warmup), warmup=round(warmup), **keys)
        return rate(step - math.ceil(warmup))
    return config["lr"]


@functools.lru_cache(maxsize=8)
def _rate_of_timm(*, schedule, lr, min_lr, decay, milestones, steps, warmup):
    """A function from the step after the warm-up to timm's learning rate."""
    import timm.scheduler

    stand_in = _eager(torch.optim.SGD)([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, _ = timm.scheduler.create_scheduler_v2(
        stand_in,
        schedule,
        num_epochs=max(steps, 1),
        updates_per_epoch=1,
        step_on_epochs=False,
        decay_milestones=milestones,
        decay_rate=decay,
        min_lr=min_lr,
        stable_timescale=max(warmup, 1) if schedule == "rsqrt" else None,
    )

    def rate(step: int) -> float:
        scheduler.step_update(step)
        return stand_in.param_groups[0]["lr"]

    return rate


def plateaus(losses: Sequence[float], patience: int) -> int:
    """How often `losses` went without improvement for more than `patience` epochs; the count restarts each time."""
    lowest, waited, count = math.inf, 0, 0
    for loss in losses:
        if loss < lowest * (1 - IMPROVEMENT):
            lowest, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            count, waited = count + 1, 0
    return count
