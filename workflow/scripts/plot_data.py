"""Draw the class counts and a sheet of training samples (rule plot_data)."""

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.report.figures.data import draw_contact_sheet, draw_counts


def main(smk):
    with job(smk):
        samples, dataset = tables.read_samples(smk.input.samples), read_json(smk.input.dataset)
        pixels = open_pixels(smk.input.pixels)
        draw_counts(samples, dataset, smk.output.counts)
        draw_contact_sheet(samples, pixels, dataset, smk.output.contact_sheet)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
