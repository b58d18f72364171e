"""Draw the class counts and a sheet of training samples (rule plot_data)."""

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.data import draw_contact_sheet, draw_counts


def main(snakemake):
    with job(snakemake):
        samples, dataset = tables.read_samples(snakemake.input.samples), read_json(snakemake.input.dataset)
        pixels = open_pixels(snakemake.input.pixels)
        draw_counts(samples, dataset, snakemake.output.counts)
        draw_contact_sheet(samples, pixels, dataset, snakemake.output.contact_sheet)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
