"""Table what each factor of the config's grids changes (rule tabulate_factors)."""

import json

from foldstack import factors, quorum, tables
from foldstack.jobs import atomic, job, read_json
from foldstack.members import read_members


def main(smk):
    with job(smk):
        config = json.loads(smk.params.config)
        classes, samples = read_json(smk.input.dataset)["classes"], tables.read_samples(smk.input.samples)
        seeds = quorum.without(config["members"], read_json(smk.input.stack)["left_out"])
        members = read_members(*quorum.present(smk.input.oof, smk.input.test), seeds, samples, classes)
        oof = dict(zip(members.models, members.seed_averaged_oof(), strict=True))
        table = factors.effects(config["layout"], oof, members.labels, config["evaluation"])
        with atomic(smk.output.table) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
