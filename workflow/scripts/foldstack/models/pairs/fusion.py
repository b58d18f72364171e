"""Fusions: modules that map the features of two images, (N, F) each, to one table (N, F).

`difference`, `concat`, `residual`, `adaptive` and `bradley_terry` know left from right; those in options.SYMMETRIC do
not, and suit questions such as "do both show the same?".
"""

import torch
import torch.nn.functional as F
from torch import nn


class Difference(nn.Module):
    def __init__(self, features: int):
        super().__init__()

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left - right


class Concat(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.project = nn.Linear(2 * features, features)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self.project(torch.cat([left, right], dim=1))


class Product(nn.Module):
    def __init__(self, features: int):
        super().__init__()

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left * right


class Cosine(nn.Module):
    """The cosine of the angle between the two, spread over F numbers."""

    def __init__(self, features: int):
        super().__init__()
        self.project = nn.Linear(1, features)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self.project(F.cosine_similarity(left, right)[:, None])


class L2(nn.Module):
    """The Euclidean distance, spread over F numbers."""

    def __init__(self, features: int):
        super().__init__()
        self.project = nn.Linear(1, features)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self.project(torch.linalg.vector_norm(left - right, dim=1, keepdim=True))


class Residual(nn.Module):
    """The difference, and what both together add to it: He et al., arXiv:1512.03385."""

    def __init__(self, features: int):
        super().__init__()
        self.correction = nn.Sequential(nn.Linear(2 * features, features), nn.ReLU(), nn.Linear(features, features))

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left - right + self.correction(torch.cat([left, right], dim=1))


class BradleyTerry(nn.Module):
    """Only the left image's features: the strength of each image does not depend on the other image."""

    def __init__(self, features: int):
        super().__init__()

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left


class Adaptive(nn.Module):
    """The weighted sum of six fusions; the weights are learnt, positive, and one in sum."""

    def __init__(self, features: int):
        super().__init__()
        self.parts = nn.ModuleList(FUSIONS[name](features) for name in SIX)
        self.weights = nn.Parameter(torch.zeros(len(SIX)))

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        parts = torch.stack([part(left, right) for part in self.parts], dim=-1)
        return parts @ self.weights.softmax(dim=0)


SIX = ("difference", "concat", "product", "cosine", "l2", "residual")
FUSIONS = {
    "difference": Difference,
    "concat": Concat,
    "product": Product,
    "cosine": Cosine,
    "l2": L2,
    "residual": Residual,
    "adaptive": Adaptive,
    "bradley_terry": BradleyTerry,
}
