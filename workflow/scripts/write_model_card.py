"""Write the card that goes with the exported file (rule write_model_card)."""

import hashlib
import json
from pathlib import Path

from foldstack.files import read_json, write_text
from foldstack.jobs.job import job
from foldstack.report.model_card import model_card


def main(smk):
    with job(smk):
        from foldstack.export.session import open_session

        _, described = open_session(smk.input.onnx)
        digest = hashlib.sha256(Path(smk.input.onnx).read_bytes()).hexdigest()
        metrics, dataset, gate = (read_json(smk.input[name]) for name in ("metrics", "dataset", "parity"))
        write_text(
            smk.output.card, model_card(metrics, dataset, described, gate, json.loads(smk.params.config), digest)
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
