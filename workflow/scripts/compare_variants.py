"""All forms of the ensemble in a table and a figure, to choose from (rule compare_variants)."""

import json

from foldstack.files import read_json, write_csv
from foldstack.jobs.job import job
from foldstack.report.figures.variants import draw_variants, variants_table


def main(snakemake):
    with job(snakemake):
        reports = dict(zip(json.loads(snakemake.params.config), map(read_json, snakemake.input.reports), strict=True))
        table = variants_table(reports)
        write_csv(snakemake.output.table, table, float_format="%.5g")
        draw_variants(table, snakemake.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
