"""Optimizers of torch.optim and timm, and learning rates as functions of the position in the run."""

import inspect
from collections.abc import Callable

import torch
from torch import nn

from foldstack.errors import FoldstackError


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
    """Groups of parameters with and without weight decay; more groups where an architecture trains some of its parts
    with a share of the learning rate."""
    scales: dict[int, float] = getattr(getattr(module, "architecture", module), "lr_scales", dict)()
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


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"] if "lr_scale" in group else rate


def _eager(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The same optimizer without the hooks for torch.compile.

    Those hooks import torch._dynamo, which takes longer than many runs. Each is a wrapper made with functools.wraps,
    so the method itself can be reached; where a version of torch has no wrapper, `unwrap` returns the method as it is.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)
