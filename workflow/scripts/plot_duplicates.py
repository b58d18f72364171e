"""Draw the pairs of identical and nearly equal samples (rule plot_duplicates)."""

import numpy as np

from foldstack import tables
from foldstack.jobs import job, read_json
from foldstack.plots.duplicates import draw_duplicates


def main(smk):
    with job(smk):
        samples, dataset = tables.read_samples(smk.input.samples), read_json(smk.input.dataset)
        pixels = np.load(smk.input.pixels, mmap_mode="r", allow_pickle=False)
        draw_duplicates(tables.read_duplicates(smk.input.duplicates), samples, pixels, dataset, smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
