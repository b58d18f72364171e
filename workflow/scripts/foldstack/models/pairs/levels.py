"""Compare pairs of images by hidden, ordered levels; no label says which image has which level."""

import torch
import torch.nn.functional as F
from torch import nn


class LevelsPairNet(nn.Module):
    """The first class has the probability that the left image's level is above the right one's, or below: learnt.

    The tower gives each image probabilities of `levels` ordered levels, p(i | a) and p(j | b). How often level i meets
    level j is learnt too, one number w(i, j) = w(j, i) for all pairs, and

        logit = log sum over i > j of p(i | a) p(j | b) w(i, j)  -  log sum over i < j of the same.

    Both sums change places when the images do, so p(a, b) = 1 - p(b, a) by construction. Against Bradley & Terry's one
    strength an image (`bradley_terry`), an image may be "a 3 or an 8", and the other image of the pair decides: where
    most pairs are neighbours, one beside a 4 is a 3. A latent class model (Lazarsfeld & Henry, "Latent Structure
    Analysis", 1968), whose class probabilities are a network's.
    """

    not_above: torch.Tensor

    def __init__(self, tower: nn.Module, features: int, levels: int, dropout: float):
        super().__init__()
        self.tower, self.drop = tower, nn.Dropout(dropout)
        self.head = nn.Linear(features, levels)
        self.meetings = nn.Parameter(torch.zeros(levels, levels))
        above = torch.ones(levels, levels).tril(-1).bool()  # the left image's level is the row
        self.register_buffer("not_above", ~above, persistent=False)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        levels = F.log_softmax(self.head(self.drop(self.tower(pairs.flatten(0, 1)))).float(), dim=1)
        left, right = levels.unflatten(0, (-1, 2)).unbind(dim=1)
        joint = left[:, :, None] + right[:, None, :] + (self.meetings + self.meetings.T)
        half = (self._total(joint, self.not_above) - self._total(joint, self.not_above.T)) / 2
        return torch.stack([half, -half], dim=1)

    def _total(self, joint: torch.Tensor, left_out: torch.Tensor) -> torch.Tensor:
        return joint.masked_fill(left_out, -1e4).flatten(1).logsumexp(dim=1)
