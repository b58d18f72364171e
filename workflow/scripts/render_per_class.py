"""Render the stack's figures class by class as a page (rule render_per_class)."""

from foldstack.files import read_json, write_text
from foldstack.jobs.job import job
from foldstack.report.per_class import render_per_class


def main(snakemake):
    with job(snakemake):
        write_text(snakemake.output.table, render_per_class(read_json(snakemake.input.metrics)))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
