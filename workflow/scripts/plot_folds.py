"""Draw how the training samples are cut into folds (rule plot_folds)."""

from foldstack import tables
from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.folds import draw_folds


def main(smk):
    with job(smk):
        draw_folds(
            tables.read_folds(smk.input.folds),
            read_json(smk.input.folds_summary),
            tables.read_samples(smk.input.samples),
            read_json(smk.input.dataset),
            smk.output.figure,
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
