"""Draw the pairs of identical and nearly equal samples (rule plot_duplicates)."""

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.duplicates import draw_duplicates


def main(snakemake):
    with job(snakemake):
        samples, dataset = tables.read_samples(snakemake.input.samples), read_json(snakemake.input.dataset)
        pixels = open_pixels(snakemake.input.pixels)
        draw_duplicates(
            tables.read_duplicates(snakemake.input.duplicates), samples, pixels, dataset, snakemake.output.figure
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
