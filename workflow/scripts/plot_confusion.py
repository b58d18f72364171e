"""Draw the stack's confusion matrices (rule plot_confusion)."""

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.confusion import draw_confusion


def main(smk):
    with job(smk):
        draw_confusion(read_json(smk.input.metrics), smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
