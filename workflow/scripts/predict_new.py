"""Label new data with the exported file (rule predict_new)."""

import json

from foldstack.errors import FoldstackError
from foldstack.files import write_csv, write_json
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        from foldstack.data.unlabelled import read_unlabelled
        from foldstack.export.predict import Ensemble

        config = json.loads(smk.params.config)["predict"]
        if config["path"] is None:
            raise FoldstackError("predict.path is not set: name the folder or file with the new data in the config.")
        ensemble = Ensemble(smk.input.onnx)
        ids, pixels, quarantined, account = read_unlabelled(config, **ensemble.pixel_format)
        write_csv(smk.output.predictions, ensemble.predict(ids, pixels), float_format="%.7g")
        write_csv(smk.output.quarantine, quarantined)
        write_json(smk.output.intake, account)
        print(*account["lines"], sep="\n")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
