"""A running mean of the weights, which is scored and stored instead of them (Polyak and Juditsky, 1992)."""

import copy

import torch

from foldstack.models.network import Classifier


class Average:
    """The exponential moving average of a classifier's parameters and buffers.

    After step t (from 1) the mean moves by 1 - min(decay, (1 + t) / (10 + t)) towards the weights, so that short runs
    are not left with their initial weights. Whole numbers among the buffers are copied.

    Attributes:
        classifier: the network with the mean weights, in evaluation mode.
    """

    def __init__(self, classifier: Classifier, decay: float):
        self.decay = decay
        self.classifier = copy.deepcopy(classifier).eval().requires_grad_(False)
        pairs = list(zip(self.classifier.state_dict().values(), classifier.state_dict().values(), strict=True))
        self._means, self._live = zip(*[pair for pair in pairs if pair[0].is_floating_point()], strict=True)
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update with the weights after step `step`, counted from 1 over the whole run."""
        torch._foreach_lerp_(self._means, self._live, 1 - min(self.decay, (1 + step) / (10 + step)))
        for mean, live in self._counts:
            mean.copy_(live)
