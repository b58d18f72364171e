"""The same samples once more, for a line with other folds (rule keep_data)."""

import json

from foldstack import tables
from foldstack.evaluation import resplit
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        resplit.refuse_given_folds("repeated", json.loads(smk.params.config)["strategy"])
        tables.write_samples(tables.read_samples(smk.input.samples), smk.output.samples)
        write_json(smk.output.dataset, read_json(smk.input.dataset))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
