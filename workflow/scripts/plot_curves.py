"""Draw the learning curves of all runs (rule plot_curves)."""

from foldstack.jobs import job
from foldstack.plots.curves import draw_curves, read_curves


def main(smk):
    with job(smk):
        draw_curves(read_curves(smk.input.runs), smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
