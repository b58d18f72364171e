"""Draw the deployed ensemble's reliability diagram (rule plot_calibration)."""

from foldstack.jobs import job, read_json
from foldstack.plots.calibration import draw_calibration


def main(smk):
    with job(smk):
        draw_calibration(read_json(smk.input.metrics), smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
