"""Score the out-of-fold predictions of every draw of the folds (rule score_repeated)."""

from foldstack import tables
from foldstack.ensemble.members import read_methods
from foldstack.evaluation import repeated, resplit
from foldstack.evaluation.prediction import Prediction
from foldstack.files import read_json, write_json, write_text
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        classes = read_json(snakemake.input.dataset)["classes"]
        labels = resplit.training_labels(tables.read_samples(snakemake.input.samples))
        resplit.refuse_equal_folds(
            [read_json(path)["digest"] for path in (snakemake.input.folds_summary, *snakemake.input.other_folds)]
        )
        draws = [
            {method: Prediction([logits]) for method, logits in read_methods(path, labels.index, classes).items()}
            for path in snakemake.input.stack_oof
        ]
        deployed = read_json(snakemake.input.stack)["method"]
        scores = repeated.repeated_scores(labels.to_numpy(), draws)
        summary = repeated.repeated_summary(scores, deployed, len(draws))
        print(summary)
        write_json(snakemake.output.scores, {"deployed": deployed, "draws": len(draws), "methods": scores})
        write_text(snakemake.output.summary, summary)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
