"""Optimizers of torch.optim, and learning rates as functions of the position in the run."""

import inspect
import math
from collections.abc import Sequence

import torch
from torch import nn

# Schedules whose learning rates are the same whatever `epochs` is: runs can go on where a shorter one ended.
OPEN_ENDED = ("constant", "step", "plateau")
IMPROVEMENT = 1e-4  # relative, as in torch's ReduceLROnPlateau


def build_optimizer(module: nn.Module, config: dict) -> torch.optim.Optimizer:
    """The optimizer named by `config["optimizer"]`, with `lr`, `weight_decay` and (sgd) `momentum`.

    Biases, norms and other one-dimensional parameters are not decayed (Goyal et al., arXiv:1706.02677, section 5.3).
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config["weight_decay"]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config["optimizer"] == "sgd":
        momentum = config["momentum"]
        return _eager(torch.optim.SGD)(groups, lr=config["lr"], momentum=momentum, nesterov=momentum > 0, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config["optimizer"]]
    return _eager(kind)(groups, lr=config["lr"], fused=True)


def peak_rate(config: dict, world_size: int) -> float:
    """The `lr` of a run whose effective batch is `world_size` times `batch_size`.

    As timm's train.py: times the square root of that factor for adam and adamw (Krizhevsky, arXiv:1404.5997, section 5;
    Granziol et al., arXiv:2006.09092), times the factor itself for sgd (Goyal et al., arXiv:1706.02677).
    """
    return config["lr"] * (world_size if config["optimizer"] == "sgd" else math.sqrt(world_size))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def learning_rate(config: dict, step: int, steps_per_epoch: int, inner_losses: Sequence[float] = ()) -> float:
    """The learning rate of one optimizer step.

    Linear warm-up over `warmup_epochs`, then `schedule`: constant; cosine, which would reach 0 one step after the last;
    step, times `decay` every `step_epochs` epochs; plateau, times `decay` whenever the inner loss has not improved for
    more than `plateau_patience` epochs (as torch's ReduceLROnPlateau).

    Args:
        step: 0-based, counted over the whole run.
        inner_losses: one a finished epoch; read by `plateau` only.
    """
    epoch = step // steps_per_epoch
    warmup, total = config["warmup_epochs"] * steps_per_epoch, config["epochs"] * steps_per_epoch
    if step < warmup:
        return config["lr"] * (step + 1) / (warmup + 1)
    if config["schedule"] == "cosine":
        return config["lr"] * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
    if config["schedule"] == "step":
        return config["lr"] * config["decay"] ** (epoch // config["step_epochs"])
    if config["schedule"] == "plateau":
        return config["lr"] * config["decay"] ** plateaus(inner_losses, config["plateau_patience"])
    return config["lr"]


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
