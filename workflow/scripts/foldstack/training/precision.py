"""Mixed precision by device (Micikevicius et al., arXiv:1710.03740): forward passes of training in 16-bit floats.

Weights, optimizer and whatever is scored or exported stay in float32.
"""

import torch

from foldstack.errors import FoldstackError


class Precision:
    """How a run's training steps are computed.

    Args:
        asked: the config's `precision`.
        device: the one that trains.

    Attributes:
        dtype: of the forward passes.

    Raises:
        FoldstackError: bfloat16 is asked of a GPU that does not have it.
    """

    def __init__(self, asked: str, device: torch.device):
        self.device = device.type
        has_bfloat16 = self.device != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        if asked == "bfloat16" and not has_bfloat16:
            raise FoldstackError(
                f"{torch.cuda.get_device_name()} has no bfloat16; set precision: auto, which takes float16 there."
            )
        if asked == "auto":
            asked = "float32" if self.device == "cpu" else "bfloat16" if has_bfloat16 else "float16"
        self.dtype = getattr(torch, asked)
        # Gradients of float16 underflow unless they are scaled up; bfloat16 has the range of float32.
        self.scaler = torch.amp.GradScaler(self.device, enabled=self.dtype is torch.float16)

    def forward(self) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(self.device, self.dtype, enabled=self.dtype is not torch.float32)

    def backward(self, loss: torch.Tensor) -> None:
        self.scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step; float16 skips it where a gradient overflowed, and lowers the scale."""
        self.scaler.step(optimizer)
        self.scaler.update()
