"""A model that cannot be written as ONNX says so before it is trained, and the others go on."""

from project import LIBRARY, jobs_in

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
    config["models"] = {"odd": {}, "cnn": {"architecture": "small_cnn", "options": {"width": 4}}}
    made = project(config)
    (made.folder / LIBRARY / "models" / "architectures" / "odd.py").write_text(ODD)
    tables = [f"results/x/oof/{model}/seed0.arrow" for model in ("odd", "cnn")]
    traces = [f"results/x/export/traces/{model}.json" for model in ("odd", "cnn")]
    done = made.run(*tables, *traces, check=False, cores=1)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"✗ trace_model model odd: {NAMED}" in said
    assert "Traceback" not in said
    assert (made.folder / tables[1]).exists()
    assert not (made.results / "models" / "odd").exists()
    logs = sorted((made.results / "logs" / "train_fold" / "odd").rglob("*.log"))
    assert [f"Not trained, since its trace failed: {NAMED}" in path.read_text() for path in logs] == [True, True]
    (log,) = (made.folder / ".snakemake" / "log").glob("*.log")
    text = log.read_text()
    assert jobs_in(text) >= {"trace_model odd", "trace_model cnn", "train_fold cnn 0 0"}
    assert max(text.index(f"model={model}\n") for model in ("odd", "cnn")) < text.index("rule train_fold")
    made.run(tables[0], cores=1)  # asked for without an export, it is trained
