"""Collect the out-of-fold and test predictions of one (model, seed) from its runs (rule collect_oof)."""

from pathlib import Path

from foldstack import tables
from foldstack.ensemble import quorum
from foldstack.files import read_json, write_text
from foldstack.folds import out_of_fold, proof
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        if lost := quorum.failed(snakemake.input.runs):
            print(*(f"left out: fold {run['fold']} failed: {run['reason']}" for run in lost), sep="\n")
            write_text(snakemake.output.oof, "")
            write_text(snakemake.output.test, "")
            return
        dataset = read_json(snakemake.input.dataset)
        summary, classes = read_json(snakemake.input.folds_summary), dataset["classes"]
        folds, samples = tables.read_folds(snakemake.input.folds), tables.read_samples(snakemake.input.samples)
        proof.check_prepared(samples, dataset, tables.read_duplicates(snakemake.input.duplicates), folds, summary)
        oof, test = out_of_fold.collect(
            [Path(path).parent for path in snakemake.input.runs],
            folds,
            samples,
            dataset,
            summary,
            model=snakemake.wildcards.model,
            seed=int(snakemake.wildcards.seed),
        )
        made_from = proof.of_runs([read_json(path) for path in snakemake.input.runs])
        tables.write_predictions(oof, snakemake.output.oof, classes, proof=made_from)
        tables.write_predictions(test, snakemake.output.test, classes, keys=("fold", "sample_id"), proof=made_from)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
