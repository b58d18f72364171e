"""Table what each factor of the config's grids changes (rule tabulate_factors)."""

import json

from foldstack import tables
from foldstack.ensemble.members import read_stacked
from foldstack.evaluation import factors
from foldstack.evaluation.prediction import Prediction
from foldstack.files import read_json, write_csv
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        config = json.loads(snakemake.params.config)
        classes, samples = read_json(snakemake.input.dataset)["classes"], tables.read_samples(snakemake.input.samples)
        members = read_stacked(snakemake.input, config["members"], read_json(snakemake.input.stack), samples, classes)
        oof = {
            model: Prediction([members.oof[model, seed] for seed in seeds]) for model, seeds in members.seeds.items()
        }
        table = factors.effects(config["layout"], oof, members.labels, config["evaluation"])
        write_csv(snakemake.output.table, table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
