"""Draw the learning curves of all runs (rule plot_curves)."""

from foldstack.jobs import job
from foldstack.plots.curves import draw_curves, read_curves
from foldstack.quorum import whole_members


def main(smk):
    with job(smk):
        draw_curves(read_curves(whole_members(smk.input.runs)), smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
