"""Names and files of a run, the training of one (model, seed, fold); used wherever run files are looked for.

Standard library only: Snakemake reads it at parse time.
"""

from pathlib import Path

RUN_RULE = "train_fold"
RUN_FILES = {
    "weights": "weights.safetensors",
    "oof": "oof.arrow",
    "test": "test.arrow",
    "history": "history.csv",
    "run": "run.json",
}  # the outputs of rule train_fold, by name


def run_folder(results: Path, model: str, seed: int, fold: int) -> Path:
    """Where a run's files are."""
    return results / "models" / model / f"seed{seed}" / f"fold{fold}"


def beside(file, name: str) -> Path:
    """The file `name`, a key of RUN_FILES, of the same run as `file`, such as its run.json."""
    return Path(file).parent / RUN_FILES[name]


def run_records(results: Path, model: str = "*") -> list[Path]:
    """run.json of every run in an experiment's folder, completed or not; of one model, or of all."""
    return sorted(results.glob(f"models/{model}/seed*/fold*/{RUN_FILES['run']}"))
