"""Draw when each run ran and how long it took (rule plot_timings)."""

from foldstack.jobs import job, read_json
from foldstack.plots.timings import draw_timings


def main(smk):
    with job(smk):
        draw_timings([read_json(path) for path in smk.input.runs], smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
