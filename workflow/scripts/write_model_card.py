"""Write the card that goes with the exported file (rule write_model_card)."""

import json

from foldstack.files import read_json, sha256_of, write_text
from foldstack.jobs.job import job
from foldstack.report.model_card import model_card


def main(smk):
    with job(smk):
        from foldstack.export.session import open_session

        _, described = open_session(smk.input.onnx)
        metrics, dataset, gate = (read_json(smk.input[name]) for name in ("metrics", "dataset", "parity"))
        write_text(
            smk.output.card,
            model_card(metrics, dataset, described, gate, json.loads(smk.params.config), sha256_of(smk.input.onnx)),
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
