"""Render the stack's figures class by class as a page (rule render_per_class)."""

from foldstack.files import read_json, write_text
from foldstack.jobs.job import job
from foldstack.report.per_class import render_per_class


def main(smk):
    with job(smk):
        write_text(smk.output.table, render_per_class(read_json(smk.input.metrics)))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
