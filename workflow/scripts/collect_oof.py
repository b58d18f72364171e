"""Collect the out-of-fold and test predictions of one (model, seed) from its runs (rule collect_oof)."""

from pathlib import Path

from foldstack import tables
from foldstack.ensemble import quorum
from foldstack.files import read_json, write_text
from foldstack.folds import out_of_fold, proof
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        if lost := quorum.failed(smk.input.runs):
            print(*(f"left out: fold {run['fold']} failed: {run['reason']}" for run in lost), sep="\n")
            write_text(smk.output.oof, "")
            write_text(smk.output.test, "")
            return
        dataset = read_json(smk.input.dataset)
        summary, classes = read_json(smk.input.folds_summary), dataset["classes"]
        folds, samples = tables.read_folds(smk.input.folds), tables.read_samples(smk.input.samples)
        proof.check_prepared(samples, dataset, tables.read_duplicates(smk.input.duplicates), folds, summary)
        oof, test = out_of_fold.collect(
            [Path(path).parent for path in smk.input.runs],
            folds,
            samples,
            dataset,
            summary,
            model=smk.wildcards.model,
            seed=int(smk.wildcards.seed),
        )
        made_from = proof.of_runs([read_json(path) for path in smk.input.runs])
        tables.write_predictions(oof, smk.output.oof, classes, proof=made_from)
        tables.write_predictions(test, smk.output.test, classes, keys=("fold", "sample_id"), proof=made_from)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
