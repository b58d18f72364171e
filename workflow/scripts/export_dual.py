"""Write a model's image and text halves as two ONNX files (rule export_dual)."""

import json

from foldstack.ensemble import quorum
from foldstack.errors import FoldstackError
from foldstack.export import dual
from foldstack.jobs.job import job
from foldstack.runs import beside


def main(snakemake):
    with job(snakemake):
        runs = quorum.whole_members(snakemake.input.runs)
        if not runs:
            raise FoldstackError(f"No run of {snakemake.wildcards.model} ended well, so there is nothing to export.")
        weights = [beside(path, "weights") for path in runs]
        dual.export_dual(weights, snakemake.input.encoder, snakemake.output.folder, json.loads(snakemake.params.config))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
