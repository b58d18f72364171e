"""Train one network on the stack's out-of-fold predictions, on all folds but one or on all (rule train_student)."""

import json

from foldstack.files import read_json, sha256_of
from foldstack.jobs.job import job
from foldstack.jobs.run_job import run_job
from foldstack.training.run import Place, Run, RunFiles

NAME = "student"


def main(snakemake):
    with job(snakemake) as code:
        given, params = snakemake.input, snakemake.params
        stack, config = read_json(given.stack), json.loads(params.config)
        # What it learns from decides the result as the config does, so it stands with it.
        learned = sha256_of(given.stack_oof)
        config |= {"soft_labels": f"{stack['method']} {learned[:16]}"}
        run = Run(NAME, config["seeds"][0], int(snakemake.wildcards.fold), config, code)
        files = RunFiles.of_job(snakemake, soft_labels=(given.stack_oof, stack["method"]))
        place = Place.of_job(snakemake)

        def train(device: str) -> None:
            # Imports torch, which must see the leased GPUs only.
            from foldstack.training.launcher import train_on

            train_on(device, run, files, place)

        run_job(snakemake, run, files, place, train)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 (provided by Snakemake)
