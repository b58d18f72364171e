"""Networks with fresh weights for made runs: python weights.py CODE RESULTS ARCHITECTURE OPTIONS(JSON)."""

import importlib
import json
import sys
from pathlib import Path

import torch


def main() -> None:
    code, results, architecture, options = sys.argv[1:]
    sys.path.insert(0, code)
    network = importlib.import_module("foldstack.models.network")
    dataset = json.loads(Path(results, "data/dataset.json").read_text(encoding="utf-8"))
    spec = {"architecture": architecture, "options": json.loads(options), "task": dataset["task"]}
    spec |= {"image_size": dataset["image_size"], "store_size": dataset["image_size"]}
    spec |= {"channels": dataset["channels"], "classes": dataset["classes"]}
    for number, run in enumerate(sorted(Path(results).glob("models/*/seed*/fold*/run.json"))):
        torch.manual_seed(number)
        network.save_classifier(network.Classifier(spec).eval(), run.parent / "weights.safetensors")
        record = json.loads(run.read_text(encoding="utf-8"))
        record["config"] |= {"architecture": architecture}
        run.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    main()
