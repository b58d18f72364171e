"""Everything that is scored: models, their single seeds, blends and stacks."""

from collections.abc import Sequence
from dataclasses import dataclass

from foldstack.ensemble.members import Members
from foldstack.ensemble.stacking import BLENDS, STACKS
from foldstack.errors import FoldstackError
from foldstack.evaluation.prediction import Prediction

PARTS = ("oof", "test")


@dataclass(frozen=True)
class Contender:
    """A way to predict: `oof` is (N, C), `test` (T, C); parameters and flops are those of one network, else None."""

    kind: str
    name: str
    seed: int | None
    oof: Prediction
    test: Prediction
    parameters: int | None = None
    flops: int | None = None

    @property
    def key(self) -> tuple:
        return self.kind, self.name, self.seed


def contenders(members: Members, stack_oof: dict, stack_test: dict, records: Sequence[dict]) -> list[Contender]:
    """All rows of the leaderboard: models (averaged over seeds), their seeds, blends, stacks.

    The test prediction of a model or seed is the mean over the folds' networks.

    Args:
        stack_oof, stack_test: {method: (N, C)} and {method: (T, C)} logits by the methods of stacking.METHODS.
        records: the run.json of every run.
    """
    sizes = {key[0]: (run["parameters"], run["flops"]) for key, run in by_run(members, records).items()}
    rows = [
        Contender("model", model, None, *_of_seeds(members, model, seeds), *sizes[model])
        for model, seeds in members.seeds.items()
    ]
    rows += [
        Contender("seed", model, seed, *_of_seeds(members, model, [seed]), *sizes[model]) for model, seed in members.oof
    ]
    for kind, methods in (("blend", BLENDS), ("stack", STACKS)):
        rows += [
            Contender(kind, method, None, Prediction([stack_oof[method]]), Prediction([stack_test[method]]))
            for method in methods
            if method in stack_oof
        ]
    return rows


def kind_of(method: str) -> str:
    return "blend" if method in BLENDS else "stack"


def by_run(members: Members, records: Sequence[dict]) -> dict[tuple[str, int, int], dict]:
    """{(model, seed, fold): run.json}; raises FoldstackError where the run of a member is missing."""
    known = {(record["model"], record["seed"], record["fold"]): record for record in records}
    for (model, seed), predicted in members.test.items():
        for fold in range(len(predicted)):
            if (model, seed, fold) not in known:
                raise FoldstackError(f"The run.json of {model} with seed {seed}, fold {fold} is not among the inputs.")
    return known


def _of_seeds(members: Members, model: str, seeds: list[int]) -> tuple[Prediction, Prediction]:
    """Out-of-fold and test predictions, the mean over `seeds`."""
    folds = [fold for seed in seeds for fold in members.test[model, seed]]
    return Prediction([members.oof[model, seed] for seed in seeds]), Prediction(folds)
