"""A model that cannot be written as ONNX says so before it is trained."""

import re

from project import LIBRARY

ODD = '''"""A network that asks for the values of its input, which no graph can."""

from torch import nn

TASK = "images"


def build(*, in_channels, n_classes, image_size):
    return Odd(in_channels * image_size[0] * image_size[1], n_classes)


class Odd(nn.Module):
    def __init__(self, inputs, n_classes):
        super().__init__()
        self.layer = nn.Linear(inputs, n_classes)

    def forward(self, images):
        return self.layer(images.flatten(1)) if images.sum() > 0 else self.layer(-images.flatten(1))
'''
NAMED = "Model 'odd' (odd) cannot be traced for export"


def test_a_model_that_cannot_be_exported_is_not_trained(project):
    config = {"experiment": "x", "data": {"format": "digits"}, "folds": {"n_splits": 2}}
    config["training"] = {"epochs": 1, "batch_size": 128}
    config["models"] = {"odd": {}}
    made = project(config)
    (made.folder / LIBRARY / "models" / "architectures" / "odd.py").write_text(ODD)
    run = "results/x/models/odd/seed0/fold1/run.json"
    done = made.run(run, "results/x/export/traces/odd.json", check=False, cores=1)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"✗ trace_model model odd: {NAMED}" in said
    assert "Traceback" not in said
    log = made.results / "logs" / "train_fold" / "odd" / "seed0" / "fold1.log"
    assert f"Not trained, since its trace failed: {NAMED}" in log.read_text()
    (record,) = (made.folder / ".snakemake" / "log").glob("*.log")
    started = re.findall(r"^(?:local)?rule (\w+):", record.read_text(), re.MULTILINE)
    assert started[-2:] == ["trace_model", "train_fold"]
    made.run(run, cores=1)  # asked for without an export, it is trained
