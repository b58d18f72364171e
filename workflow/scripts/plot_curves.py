"""Draw the learning curves of all runs (rule plot_curves)."""

from foldstack.ensemble.quorum import whole_members
from foldstack.jobs.job import job
from foldstack.report.figures.curves import draw_curves, read_curves


def main(smk):
    with job(smk):
        draw_curves(read_curves(whole_members(smk.input.runs)), smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
