"""Optimizers of torch.optim and timm, and learning rates as functions of the position in the run."""

import functools
import inspect
import math
from collections.abc import Sequence

import torch
from torch import nn

from foldstack.errors import FoldstackError

# Schedules whose learning rates are the same whatever `epochs` is: runs can go on where a shorter one ended.
OPEN_ENDED = ("constant", "step", "multistep", "plateau")
OF_TIMM = ("tanh", "poly", "multistep", "wsd", "rsqrt")
IMPROVEMENT = 1e-4  # relative, as in torch's ReduceLROnPlateau


def build_optimizer(module: nn.Module, config: dict) -> torch.optim.Optimizer:
    """The optimizer named by `config["optimizer"]`, with `lr`, `weight_decay` and, where it has one, `momentum`.

    adam, adamw and sgd are torch's fused ones; every other name is one of timm's. Biases, norms and other
    one-dimensional parameters are not decayed (Goyal et al., arXiv:1706.02677, section 5.3).
    """
    name, momentum = config["optimizer"], config["momentum"]
    groups = _layer_groups(module, config) if config["layer_decay"] is not None else _groups(module, config)
    if name == "sgd":
        return _eager(torch.optim.SGD)(groups, lr=config["lr"], momentum=momentum, nesterov=momentum > 0, fused=True)
    if name in ("adam", "adamw"):
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
        return _eager(kind)(groups, lr=config["lr"], fused=True)
    import timm.optim

    decay = config["weight_decay"]
    try:
        return timm.optim.create_optimizer_v2(groups, name, lr=config["lr"], weight_decay=decay, momentum=momentum)
    except (TypeError, ValueError, ImportError, AssertionError, RuntimeError) as error:
        raise FoldstackError(f"timm cannot make the optimizer {name!r} ({error}); choose another one.") from error


def _groups(module: nn.Module, config: dict) -> list[dict]:
    """Of those that are decayed and those that are not; and again where an architecture says that parts of it take
    a share of the learning rate."""
    scales = getattr(getattr(module, "architecture", module), "lr_scales", dict)()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = []
    for scale in (None, *sorted(set(scales.values()))):
        own = [parameter for parameter in trained if scales.get(id(parameter)) == scale]
        more = {} if scale is None else {"lr_scale": scale}
        groups.append({"params": [p for p in own if p.ndim > 1], "weight_decay": config["weight_decay"]} | more)
        groups.append({"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0} | more)
    return [group for group in groups if group["params"]]


def _layer_groups(module: nn.Module, config: dict) -> list[dict]:
    """Groups by depth as timm makes them, with the `lr_scale` of each: layer_decay ** (layers above it).

    Clark et al., "ELECTRA", arXiv:2003.10555; Bao et al., "BEiT", arXiv:2106.08254.
    """
    import timm.optim

    network = getattr(module, "architecture", module)
    if not hasattr(network, "group_matcher"):
        raise FoldstackError("layer_decay needs a model of timm, which knows its layers; drop it for this model.")
    return timm.optim.param_groups_layer_decay(network, config["weight_decay"], layer_decay=config["layer_decay"])


def peak_rate(config: dict, world_size: int) -> float:
    """The `lr` of a run whose effective batch is `world_size` times `batch_size`.

    As timm's train.py: times the square root of that factor for adam, its relatives and lamb (Krizhevsky,
    arXiv:1404.5997, section 5; Granziol et al., arXiv:2006.09092), times the factor itself for sgd and all others
    (Goyal et al., arXiv:1706.02677).
    """
    adaptive = any(part in config["optimizer"] for part in ("ada", "lamb"))
    return config["lr"] * (math.sqrt(world_size) if adaptive else world_size)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"] if "lr_scale" in group else rate


def learning_rate(config: dict, step: int, steps_per_epoch: int, inner_losses: Sequence[float] = ()) -> float:
    """The learning rate of one optimizer step.

    Linear warm-up over `warmup_epochs`, then `schedule`: constant; cosine, which would reach `min_lr` one step after
    the last; step, times `decay` every `step_epochs` epochs; plateau, times `decay` whenever the inner loss has not
    improved for more than `plateau_patience` epochs (as torch's ReduceLROnPlateau); or one of timm's over the steps
    that are left.

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
        # One later, since timm's decays in the step before a milestone.
        milestones = tuple(max(1, round(epoch * steps_per_epoch - warmup)) + 1 for epoch in config["milestones"])
        keys = {key: config[key] for key in ("schedule", "lr", "min_lr", "decay")}
        rate = _rate_of_timm(milestones=milestones, steps=math.ceil(total - warmup), warmup=round(warmup), **keys)
        return rate(step - math.ceil(warmup))
    return config["lr"]


@functools.lru_cache(maxsize=8)
def _rate_of_timm(*, schedule, lr, min_lr, decay, milestones, steps, warmup):
    """A function from the step behind the warm-up to timm's learning rate."""
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


def _eager(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The same optimizer without the hooks for torch.compile.

    Those hooks import torch._dynamo, which takes longer than many a run. Each is a wrapper made with functools.wraps,
    so the method itself is at hand; where a version of torch has no wrapper, `unwrap` returns the method as it is.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)
