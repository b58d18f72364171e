"""Shuffle the labels of the training samples (rule shuffle_labels)."""

import json

from foldstack import tables
from foldstack.data import digest, ties
from foldstack.evaluation import leakcheck
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        seed = json.loads(snakemake.params.config)["seed"]
        samples, dataset = tables.read_samples(snakemake.input.samples), read_json(snakemake.input.dataset)
        digest.check_data(samples, dataset)
        rows = (samples["split"] == "train").to_numpy()
        training = samples[rows]
        tied = ties.of(training, tables.read_duplicates(snakemake.input.duplicates))
        samples.loc[rows, "label"] = leakcheck.shuffle_labels(training["label"].to_numpy(), tied, seed)
        tables.write_samples(samples, snakemake.output.samples)
        write_json(snakemake.output.dataset, dataset | {"digest": digest.data_digest(samples, dataset)})


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
