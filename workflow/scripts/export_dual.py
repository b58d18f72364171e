"""Write a model's image and text halves as two ONNX files (rule export_dual)."""

import json

from foldstack.ensemble import quorum
from foldstack.errors import FoldstackError
from foldstack.export import dual
from foldstack.jobs.job import job
from foldstack.runs import beside


def main(smk):
    with job(smk):
        runs = quorum.whole_members(smk.input.runs)
        if not runs:
            raise FoldstackError(f"No run of {smk.wildcards.model} ended well, so there is nothing to export.")
        weights = [beside(path, "weights") for path in runs]
        dual.export_dual(weights, smk.input.encoder, smk.output.folder, json.loads(smk.params.config))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
