"""Draw the deployed ensemble's reliability diagram (rule plot_calibration)."""

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.calibration import draw_calibration


def main(snakemake):
    with job(snakemake):
        draw_calibration(read_json(snakemake.input.metrics), snakemake.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
