"""Draw when each run ran and how long it took (rule plot_timings)."""

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.timings import draw_timings


def main(smk):
    with job(smk):
        draw_timings([read_json(path) for path in smk.input.runs], smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
