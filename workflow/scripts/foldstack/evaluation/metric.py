"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foldstack.evaluation.counting import ClassCounts, RankCounts

OfRows = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Metric:
    """One score, for the rows themselves and for many resamples of them at once.

    Exactly one of `of_samples`, `of_counts` and `of_ranks` is given. What it gives for a resample must equal what
    `of_rows` gives for the drawn rows; tests/unit/evaluation/test_bootstrap.py sees to that.

    Attributes:
        name: its key in metrics.json and in the columns of leaderboard.csv.
        title: what people read.
        of_rows: from labels (N,) and probabilities (N, C).
        of_samples: where it is a mean over samples: from the same to (N,).
        of_counts: where it follows from the confusion matrix: from the counts of R resamples to (R,).
        of_ranks: where it is a mean over classes of a figure that takes the order of the class's probabilities: from
            the counts of one class to (R,). These take longest; see `bootstrap`.
        higher_is_better: the direction.
        share: it lies between 0 and 1 and is shown in percent; others are shown as they are.
        least_classes: with fewer it does not exist.
        every_run: each run is scored by it too, on its own fold; the terminal's summary has room for five shares.
        column: a column of the leaderboard and the report, which have room for few.
        listed: in the model card and `make compare`, and a paired difference in metrics.json.
    """

    name: str
    title: str
    of_rows: OfRows
    of_samples: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    of_counts: Callable[[ClassCounts], np.ndarray] | None = None
    of_ranks: Callable[[RankCounts], np.ndarray] | None = None
    higher_is_better: bool = True
    share: bool = True
    least_classes: int = 1
    every_run: bool = False
    column: bool = True
    listed: bool = True

    @property
    def ranked(self) -> bool:
        return self.of_ranks is not None

    def exists(self, n_classes: int) -> bool:
        return n_classes >= self.least_classes

    def text(self, value: float) -> str:
        """The value as a table shows it."""
        return f"{100 * value:.2f}" if self.share else f"{value:.4f}"
