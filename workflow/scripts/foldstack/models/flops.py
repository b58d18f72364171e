"""Floating-point operations of a network, counted by torch's own counter."""

import inspect

import torch
from torch.utils import flop_counter


def count_flops(module: torch.nn.Module, sample: torch.Tensor) -> int:
    """Operations of one forward pass in evaluation mode (a multiplication and an addition count as two).

    Args:
        sample: input of the module, a batch of one.
    """
    mode = getattr(flop_counter, "_FlopCounterMode", None)
    if mode is not None:
        # Without torch.compile's wrapper, which imports torch._dynamo and takes longer than many a run.
        mode.__torch_dispatch__ = inspect.unwrap(mode.__torch_dispatch__)
    training = module.training
    module.eval()
    with torch.no_grad(), flop_counter.FlopCounterMode(display=False) as counter:
        module(sample)
    module.train(training)
    return counter.get_total_flops()
