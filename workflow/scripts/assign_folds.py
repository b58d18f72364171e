"""Assign the training samples to folds and inner buckets (rule assign_folds)."""

import json

from foldstack import fold_assignment, proof, tables
from foldstack.jobs import job, read_json, write_json


def main(smk):
    with job(smk):
        config = json.loads(smk.params.config)["folds"]
        samples = tables.read_samples(smk.input.samples)
        dataset = read_json(smk.input.dataset)
        proof.check_data(samples, dataset)
        duplicates = tables.read_duplicates(smk.input.duplicates)
        assigned, n_components = fold_assignment.assign(samples, dataset["classes"], duplicates, **config)
        summary = fold_assignment.summarise(assigned, samples, dataset, config, n_components)
        tables.write_folds(assigned, smk.output.folds)
        write_json(smk.output.summary, summary)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
