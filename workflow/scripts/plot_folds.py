"""Draw how the training samples are divided into folds (rule plot_folds)."""

from foldstack import tables
from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.folds import draw_folds


def main(snakemake):
    with job(snakemake):
        draw_folds(
            tables.read_folds(snakemake.input.folds),
            read_json(snakemake.input.folds_summary),
            tables.read_samples(snakemake.input.samples),
            read_json(snakemake.input.dataset),
            snakemake.output.figure,
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
