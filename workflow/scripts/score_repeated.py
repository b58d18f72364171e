"""Score the out-of-fold predictions of every draw of the folds (rule score_repeated)."""

from foldstack import tables
from foldstack.ensemble.members import read_methods
from foldstack.evaluation import repeated, resplit
from foldstack.files import read_json, write_json, write_text
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        classes = read_json(smk.input.dataset)["classes"]
        labels = resplit.training_labels(tables.read_samples(smk.input.samples))
        resplit.refuse_equal_folds(
            [read_json(path)["digest"] for path in (smk.input.folds_summary, *smk.input.other_folds)]
        )
        draws = [read_methods(path, labels.index, classes) for path in smk.input.stack_oof]
        deployed = read_json(smk.input.stack)["method"]
        scores = repeated.repeated_scores(labels.to_numpy(), draws)
        summary = repeated.repeated_summary(scores, deployed, len(draws))
        print(summary)
        write_json(smk.output.scores, {"deployed": deployed, "draws": len(draws), "methods": scores})
        write_text(smk.output.summary, summary)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
