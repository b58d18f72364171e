"""Label new data with the exported file (rule predict_new)."""

import json

from foldstack.errors import FoldstackError
from foldstack.files import write_csv
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        from foldstack.data.unlabelled import read_unlabelled
        from foldstack.export.predict import Ensemble

        config = json.loads(smk.params.config)["predict"]
        if config["path"] is None:
            raise FoldstackError("predict.path is not set: name the folder or file with the new data in the config.")
        ensemble = Ensemble(smk.input.onnx)
        ids, pixels, quarantined = read_unlabelled(config["format"], config["path"], **ensemble.pixel_format)
        write_csv(smk.output.predictions, ensemble.predict(ids, pixels), float_format="%.7g")
        write_csv(smk.output.quarantine, quarantined)
        print(f"{len(ids)} samples labelled, {len(quarantined)} quarantined")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
