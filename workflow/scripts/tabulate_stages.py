"""Score the stack of all models so far, stage by stage (rule tabulate_stages)."""

import json

from foldstack import tables
from foldstack.ensemble.members import read_stacked
from foldstack.evaluation import stages
from foldstack.files import read_json, write_csv
from foldstack.jobs.job import job
from foldstack.report.figures.stages import draw_stages


def main(snakemake):
    with job(snakemake):
        config = json.loads(snakemake.params.config)
        classes, samples = read_json(snakemake.input.dataset)["classes"], tables.read_samples(snakemake.input.samples)
        members = read_stacked(snakemake.input, config["members"], read_json(snakemake.input.stack), samples, classes)
        table = stages.stage_table(config["stages"], members, config)
        draw_stages(table, config["stack"]["method"], snakemake.output.figure)
        write_csv(snakemake.output.table, table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
