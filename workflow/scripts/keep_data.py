"""Copy the samples for a check with other folds (rule keep_data)."""

import json

from foldstack import tables
from foldstack.evaluation import resplit
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        resplit.refuse_given_folds("repeated", json.loads(snakemake.params.config)["strategy"])
        tables.write_samples(tables.read_samples(snakemake.input.samples), snakemake.output.samples)
        write_json(snakemake.output.dataset, read_json(snakemake.input.dataset))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
