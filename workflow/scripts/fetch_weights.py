"""Bring the weights that a model starts from into one file (rule fetch_weights)."""

import json

from foldstack.jobs.job import job
from foldstack.models import pretrained


def main(smk):
    with job(smk):
        config = json.loads(smk.params.config)
        digest = pretrained.fetch(config["architecture"], config["pretrained"], smk.output.weights, smk.output.record)
        print(f"weights of {config['architecture']} from {config['pretrained']}: SHA-256 {digest}")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
