"""Score each fold by a pipeline that never saw it (rule score_nested)."""

import json

from foldstack import tables
from foldstack.ensemble.members import read_methods
from foldstack.evaluation import nested, resplit
from foldstack.evaluation.prediction import Prediction
from foldstack.files import read_json, write_json, write_text
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        config, classes = json.loads(snakemake.params.config), read_json(snakemake.input.dataset)["classes"]
        labels = resplit.training_labels(tables.read_samples(snakemake.input.samples))
        fold_of = tables.read_folds(snakemake.input.folds).set_index("sample_id")["fold"].loc[labels.index]
        parts = [
            read_methods(path, labels.index[fold_of == fold], classes)
            for fold, path in enumerate(snakemake.input.stack_test)
        ]
        predicted = resplit.joined(parts, fold_of.to_numpy())
        oof = read_methods(snakemake.input.stack_oof, labels.index, classes)
        deployed = read_json(snakemake.input.stack)["method"]
        scores = nested.nested_scores(
            labels.to_numpy(), _by_method(predicted), _by_method(oof), config["bootstrap"], config["seed"]
        )
        summary = nested.nested_summary(scores, deployed, len(labels))
        print(summary)
        write_json(snakemake.output.scores, {"deployed": deployed, "samples": len(labels), "methods": scores})
        write_text(snakemake.output.summary, summary)


def _by_method(logits: dict) -> dict[str, Prediction]:
    return {method: Prediction([values]) for method, values in logits.items()}


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
