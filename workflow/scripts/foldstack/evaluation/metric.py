"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foldstack.evaluation.counting import ClassCounts
from foldstack.evaluation.ranks import Ranks

OfSamples = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """One score, and what its interval follows from.

    Exactly one of `of_samples`, `of_counts` and `of_ranks` is given.

    Attributes:
        name: its key in metrics.json and in the columns of leaderboard.csv.
        title: what people read.
        of_samples: where it is a mean over samples: from labels (n,) and probabilities (n, C) of any rows to (n,).
        of_counts: where it follows from the margins and the diagonal of the confusion matrix: from those of R resamples
            to (R,).
        of_ranks: where it is a mean over classes of a figure that takes the order of the class's probabilities: from
            one class against the rest to the figure, and the influence of each sample on it (N,); see `ranks`.
        higher_is_better: the direction.
        share: it lies between 0 and 1 and is shown in percent; others are shown as they are.
        least_classes: with fewer it does not exist.
        every_run: each run is scored by it too, on its own fold; the terminal's summary has room for five shares.
        column: a column of the leaderboard and the report, which have room for few.
        listed: in the model card and `make compare`, and a paired difference in metrics.json.
    """

    name: str
    title: str
    of_samples: OfSamples | None = None
    of_counts: Callable[[ClassCounts], np.ndarray] | None = None
    of_ranks: Callable[[Ranks], tuple[float, np.ndarray]] | None = None
    higher_is_better: bool = True
    share: bool = True
    least_classes: int = 1
    every_run: bool = False
    column: bool = True
    listed: bool = True

    def exists(self, n_classes: int) -> bool:
        return n_classes >= self.least_classes

    def text(self, value: float) -> str:
        """The value as a table shows it."""
        return f"{100 * value:.2f}" if self.share else f"{value:.4f}"
