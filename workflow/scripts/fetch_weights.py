"""Bring the weights that a model starts from into one file (rule fetch_weights)."""

import json

from foldstack.jobs.job import job
from foldstack.models import pretrained


def main(snakemake):
    with job(snakemake):
        config = json.loads(snakemake.params.config)
        digest = pretrained.fetch(
            config["architecture"], config["pretrained"], snakemake.output.weights, snakemake.output.record
        )
        print(f"weights of {config['architecture']} from {config['pretrained']}: SHA-256 {digest}")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
