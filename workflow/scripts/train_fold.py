"""Train one model with one seed on all folds but one; predict that fold and the test split (rule train_fold)."""

import json

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.jobs.run_job import run_job
from foldstack.training.run import Place, Run, RunFiles


def main(snakemake):
    with job(snakemake) as code:
        given, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
        config = json.loads(params.config)
        if given.get("prompts"):
            from foldstack.text.reference import with_prompts

            config = with_prompts(config, given.prompts[0], given.prompts[1], given.get("captions"))
        weights = given.get("pretrained")
        if weights:  # their content decides, wherever they came from
            config["pretrained"] = read_json(weights[1])["sha256"]
        run = Run(wildcards.model, int(wildcards.seed), int(wildcards.fold), config, code)
        files = RunFiles.of_job(snakemake, pretrained=weights[0] if weights else None)
        place = Place.of_job(snakemake)

        def train(device: str) -> None:
            # Imports torch, which must see the leased GPUs only.
            from foldstack.training.launcher import train_on

            train_on(device, run, files, place)

        run_job(snakemake, run, files, place, train)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 (provided by Snakemake)
