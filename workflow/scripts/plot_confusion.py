"""Draw the stack's confusion matrices (rule plot_confusion)."""

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.confusion import draw_confusion


def main(snakemake):
    with job(snakemake):
        draw_confusion(read_json(snakemake.input.metrics), snakemake.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
