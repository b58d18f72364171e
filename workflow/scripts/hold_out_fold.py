"""Make one fold the test split of a separate pipeline (rule hold_out_fold)."""

import json

from foldstack import tables
from foldstack.data import digest
from foldstack.evaluation import resplit
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        resplit.refuse_given_folds("nested", json.loads(snakemake.params.config)["strategy"])
        samples, dataset = tables.read_samples(snakemake.input.samples), read_json(snakemake.input.dataset)
        digest.check_data(samples, dataset)
        kept = resplit.hold_out(samples, tables.read_folds(snakemake.input.folds), int(snakemake.wildcards.fold))
        tables.write_samples(kept, snakemake.output.samples)
        write_json(snakemake.output.dataset, dataset | {"digest": digest.data_digest(kept, dataset)})


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
