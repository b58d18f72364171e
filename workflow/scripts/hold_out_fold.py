"""Make one fold the test split of a line of its own (rule hold_out_fold)."""

import json

from foldstack import tables
from foldstack.data import digest
from foldstack.evaluation import resplit
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        resplit.refuse_given_folds("nested", json.loads(smk.params.config)["strategy"])
        samples, dataset = tables.read_samples(smk.input.samples), read_json(smk.input.dataset)
        digest.check_data(samples, dataset)
        kept = resplit.hold_out(samples, tables.read_folds(smk.input.folds), int(smk.wildcards.fold))
        tables.write_samples(kept, smk.output.samples)
        write_json(smk.output.dataset, dataset | {"digest": digest.data_digest(kept, dataset)})


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
