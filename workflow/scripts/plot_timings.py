"""Draw when each run ran and how long it took (rule plot_timings)."""

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.timings import draw_timings


def main(snakemake):
    with job(snakemake):
        draw_timings([read_json(path) for path in snakemake.input.runs], snakemake.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
