"""Read and decode the data, draw a test split (rule prepare_data)."""

import json

from foldstack.data.prepare import prepare
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        config = json.loads(snakemake.params.config)["data"]
        out = snakemake.output
        prepare(
            config,
            samples=out.samples,
            pixels=out.pixels,
            dataset=out.dataset,
            quarantine=out.quarantine,
            pairs=out.duplicates,
            intake=out.intake,
            threads=snakemake.threads,
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
