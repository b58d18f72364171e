"""Draw the pairs of identical and nearly equal samples (rule plot_duplicates)."""

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.duplicates import draw_duplicates


def main(smk):
    with job(smk):
        samples, dataset = tables.read_samples(smk.input.samples), read_json(smk.input.dataset)
        pixels = open_pixels(smk.input.pixels)
        draw_duplicates(tables.read_duplicates(smk.input.duplicates), samples, pixels, dataset, smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
