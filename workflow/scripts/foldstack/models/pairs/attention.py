"""Attention within convolutional blocks, by name: callables from a number of channels to a module."""

import functools
from collections.abc import Callable

from timm.layers import SEModule
from timm.layers.cbam import CbamModule
from torch import nn

# A sixteenth of the channels, as in both papers, would leave two of 32. SE: Hu et al., arXiv:1709.01507; CBAM: Woo et
# al., arXiv:1807.06521.
ATTENTION: dict[str, Callable[[int], nn.Module]] = {
    "se": functools.partial(SEModule, rd_ratio=1 / 8),
    "cbam": functools.partial(CbamModule, rd_ratio=1 / 8),
}
