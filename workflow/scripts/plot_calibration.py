"""Draw the deployed ensemble's reliability diagram (rule plot_calibration)."""

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.calibration import draw_calibration


def main(smk):
    with job(smk):
        draw_calibration(read_json(smk.input.metrics), smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
