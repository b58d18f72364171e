"""Score each fold by a line that never saw it (rule score_nested)."""

import json

from foldstack import tables
from foldstack.ensemble.members import read_methods
from foldstack.evaluation import nested, resplit
from foldstack.files import read_json, write_json, write_text
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        config, classes = json.loads(smk.params.config), read_json(smk.input.dataset)["classes"]
        labels = resplit.training_labels(tables.read_samples(smk.input.samples))
        fold_of = tables.read_folds(smk.input.folds).set_index("sample_id")["fold"].loc[labels.index]
        parts = [
            read_methods(path, labels.index[fold_of == fold], classes) for fold, path in enumerate(smk.input.stack_test)
        ]
        predicted = resplit.joined(parts, fold_of.to_numpy())
        oof = read_methods(smk.input.stack_oof, labels.index, classes)
        deployed = read_json(smk.input.stack)["method"]
        scores = nested.nested_scores(labels.to_numpy(), predicted, oof, config["bootstrap"], config["seed"])
        summary = nested.nested_summary(scores, deployed, len(labels))
        print(summary)
        write_json(smk.output.scores, {"deployed": deployed, "samples": len(labels), "methods": scores})
        write_text(smk.output.summary, summary)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
