"""Table what each factor of the config's grids changes (rule tabulate_factors)."""

import json

from foldstack import tables
from foldstack.ensemble.members import read_stacked
from foldstack.evaluation import factors
from foldstack.files import read_json, write_csv
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        config = json.loads(smk.params.config)
        classes, samples = read_json(smk.input.dataset)["classes"], tables.read_samples(smk.input.samples)
        members = read_stacked(smk.input, config["members"], read_json(smk.input.stack), samples, classes)
        oof = dict(zip(members.models, members.seed_averaged_oof(), strict=True))
        table = factors.effects(config["layout"], oof, members.labels, config["evaluation"])
        write_csv(smk.output.table, table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
