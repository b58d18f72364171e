"""Draw the accuracy of sets of models against their cost (rule plot_pareto)."""

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.pareto import draw_pareto


def main(snakemake):
    with job(snakemake):
        draw_pareto(read_json(snakemake.input.metrics), snakemake.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
