"""Score the stack of all models so far, stage by stage (rule tabulate_stages)."""

import json

from foldstack import tables
from foldstack.ensemble.members import read_stacked
from foldstack.evaluation import stages
from foldstack.files import read_json, write_csv
from foldstack.jobs.job import job
from foldstack.report.figures.stages import draw_stages


def main(smk):
    with job(smk):
        config = json.loads(smk.params.config)
        classes, samples = read_json(smk.input.dataset)["classes"], tables.read_samples(smk.input.samples)
        members = read_stacked(smk.input, config["members"], read_json(smk.input.stack), samples, classes)
        table = stages.stage_table(config["stages"], members, config)
        draw_stages(table, config["stack"]["method"], smk.output.figure)
        write_csv(smk.output.table, table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
