"""Write the card that goes with the exported file (rule write_model_card)."""

import json

from foldstack.files import read_json, sha256_of, write_text
from foldstack.jobs.job import job
from foldstack.report.model_card import model_card


def main(snakemake):
    with job(snakemake):
        from foldstack.export.session import open_session

        _, described = open_session(snakemake.input.onnx)
        metrics, dataset, gate = (read_json(snakemake.input[name]) for name in ("metrics", "dataset", "parity"))
        write_text(
            snakemake.output.card,
            model_card(
                metrics, dataset, described, gate, json.loads(snakemake.params.config), sha256_of(snakemake.input.onnx)
            ),
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
