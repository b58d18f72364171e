"""All forms of the ensemble in a table and a figure, to choose from (rule compare_variants)."""

import json

from foldstack.files import read_json, write_csv
from foldstack.jobs.job import job
from foldstack.report.figures.variants import draw_variants, variants_table


def main(smk):
    with job(smk):
        reports = dict(zip(json.loads(smk.params.config), map(read_json, smk.input.reports), strict=True))
        table = variants_table(reports)
        write_csv(smk.output.table, table, float_format="%.5g")
        draw_variants(table, smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
