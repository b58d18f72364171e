"""A run: one model, trained with one seed on all folds but one. Its settings, inputs and outputs.

Standard library only: a run that is reused starts neither torch nor pandas.
"""

from dataclasses import dataclass

from foldstack.reruns.code_digest import Code
from foldstack.runs import RUN_FILES

PREPARED = ("samples", "pixels", "dataset", "folds", "folds_summary")


@dataclass(frozen=True)
class Run:
    """What decides a run's result, apart from the data and the folds.

    Attributes:
        config: the model's resolved config, with the digests of what it starts from and learns from.
        code: of its script and architecture; recorded, and part of the name of its checkpoint.
    """

    model: str
    seed: int
    fold: int
    config: dict
    code: Code

    def __str__(self) -> str:
        return f"Model {self.model}, seed {self.seed}, fold {self.fold}"


@dataclass(frozen=True)
class RunFiles:
    """Paths that a run reads.

    Attributes:
        samples, pixels, dataset, folds, folds_summary: samples.parquet, pixels.npy, dataset.json, folds.parquet and
            folds.json.
        pretrained: the weights that the network starts from, or None.
        soft_labels: a table of `members.methods_table` and the method in it to learn from instead of the labels, or
            None.
    """

    samples: str
    pixels: str
    dataset: str
    folds: str
    folds_summary: str
    pretrained: str | None = None
    soft_labels: tuple[str, str] | None = None

    @classmethod
    def of_job(cls, snakemake, **more) -> "RunFiles":
        """The inputs of a job that every run reads, and `more`."""
        return cls(*(snakemake.input[key] for key in PREPARED), **more)


@dataclass(frozen=True)
class Place:
    """Paths that a run writes.

    Attributes:
        outputs: by the names `weights`, `oof`, `test`, `history` and `run`.
        work: folder of checkpoints and of what is kept of finished runs; it holds no outputs.
        progress: file of its latest figures, for the terminal, or None.
        events: folder of its TensorBoard files, or None.
    """

    outputs: dict[str, str]
    work: str
    progress: str | None = None
    events: str | None = None

    @classmethod
    def of_job(cls, snakemake) -> "Place":
        """The place of a job of the rules train_fold and train_student."""
        outputs = {key: snakemake.output[key] for key in RUN_FILES}
        return cls(outputs, *(snakemake.params[key] for key in ("work", "progress", "events")))
