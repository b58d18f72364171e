"""Label new data with the exported file (rule predict_new)."""

import json

from foldstack.errors import FoldstackError
from foldstack.files import write_csv, write_json
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        from foldstack.data.unlabelled import read_unlabelled
        from foldstack.export.predict import Ensemble

        config = json.loads(snakemake.params.config)["predict"]
        if config["path"] is None:
            raise FoldstackError("predict.path is not set: name the folder or file with the new data in the config.")
        ensemble = Ensemble(snakemake.input.onnx)
        ids, pixels, quarantined, account = read_unlabelled(config, **ensemble.pixel_format)
        write_csv(snakemake.output.predictions, ensemble.predict(ids, pixels), float_format="%.7g")
        write_csv(snakemake.output.quarantine, quarantined)
        write_json(snakemake.output.intake, account)
        print(*account["lines"], sep="\n")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
