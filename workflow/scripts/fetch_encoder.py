"""Bring a text encoder into one folder (rule fetch_encoder)."""

import json

from foldstack.jobs.job import job
from foldstack.text import fetch


def main(smk):
    with job(smk):
        encoder = json.loads(smk.params.config)
        digest = fetch.fetch(encoder, smk.output.folder, smk.output.record)
        print(f"text encoder {encoder}: SHA-256 {digest}")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
