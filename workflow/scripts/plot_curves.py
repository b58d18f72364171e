"""Draw the learning curves of all runs (rule plot_curves)."""

from foldstack.ensemble.quorum import whole_members
from foldstack.jobs.job import job
from foldstack.report.figures.curves import draw_curves, read_curves


def main(snakemake):
    with job(snakemake):
        draw_curves(read_curves(whole_members(snakemake.input.runs)), snakemake.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
