"""Assign the training samples to folds and inner buckets (rule assign_folds)."""

import json

from foldstack import tables
from foldstack.data import digest
from foldstack.files import read_json, write_json
from foldstack.folds import assign
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        config = json.loads(snakemake.params.config)["folds"]
        samples = tables.read_samples(snakemake.input.samples)
        dataset = read_json(snakemake.input.dataset)
        digest.check_data(samples, dataset)
        duplicates = tables.read_duplicates(snakemake.input.duplicates)
        assigned, n_components, cautions = assign.assign(samples, dataset["classes"], duplicates, **config)
        summary = assign.summarise(assigned, samples, dataset, config, n_components, cautions)
        for text in cautions:
            print(f"CAUTION: {text}")
        tables.write_folds(assigned, snakemake.output.folds)
        write_json(snakemake.output.summary, summary)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
