"""Bring a text encoder into one folder (rule fetch_encoder)."""

import json

from foldstack.jobs.job import job
from foldstack.text import fetch


def main(snakemake):
    with job(snakemake):
        encoder = json.loads(snakemake.params.config)
        digest = fetch.fetch(encoder, snakemake.output.folder, snakemake.output.record)
        print(f"text encoder {encoder}: SHA-256 {digest}")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
