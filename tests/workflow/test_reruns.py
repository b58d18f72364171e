"""Changing X reruns exactly Y: the plan after each change, on copies of a finished run."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from project import LIBRARY, Project, jobs_in

SCORES = {"evaluate", "render_leaderboard", "render_per_class", "plot_confusion", "plot_calibration", "plot_pareto",
          "render_report"}  # fmt: skip
EXPORT = {
    "export_ensemble",
    "verify_ensemble",
    "write_model_card",
    "predict_new",
}  # the scores are in the exported file
STACK = {"fit_stacker"} | EXPORT | SCORES


def runs(*models, folds=(0, 1), seed=0):
    return {f"train_fold {model} {seed} {fold}" for model in models for fold in folds}


def after_runs(*models, seed=0):
    """Everything that follows the runs of `models`."""
    own = {f"{rule} {model}" for rule in ("export_model", "verify_export") for model in models}
    return own | {f"collect_oof {model} {seed}" for model in models} | STACK | {"plot_curves", "plot_timings"}


def config_change(*keys, value):
    def change(project):
        node = project.config
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = value

    return change


def remove_model(project):
    del project.config["models"]["vit"]


def touch_everything(project):
    for path in project.folder.rglob("*"):
        if ".snakemake" not in path.parts and path.is_file():
            os.utime(path)


def move(project):
    moved = project.folder.with_name("moved")
    project.folder.rename(moved)
    project.folder = moved


def move_a_module(project):
    """losses.py into another room, and every import of it after it."""
    library = project.folder / LIBRARY
    (library / "training" / "losses.py").rename(library / "models" / "losses.py")
    for path in library.rglob("*.py"):
        text = path.read_text()
        path.write_text(text.replace("from foldstack.training.losses import", "from foldstack.models.losses import"))


def copy_into_fresh_clone(project):
    clone = project.folder.with_name("clone")
    shutil.copytree(project.folder, clone, copy_function=shutil.copy)  # all times are new
    project.folder = clone


ALL_RUNS = runs("cnn", "vit")
EXECUTED = {"the stacker's settings", "a plot's colour"}
TABLE = {
    "nothing": (lambda project: None, set()),
    "epochs of one model": (
        config_change("models", "cnn", "epochs", value=3),
        runs("cnn") | after_runs("cnn"),
    ),
    "a training default that one model overrides": (
        lambda p: (
            config_change("models", "cnn", "lr", value=0.001)(p),
            config_change("training", "lr", value=0.002)(p),
        ),
        runs("vit") | after_runs("vit"),
    ),
    "a new model": (
        config_change("models", "new", value={"architecture": "small_resnet"}),
        runs("new") | after_runs("new") | {"trace_model new"},
    ),
    "a new seed": (
        config_change("seeds", value=[0, 1]),
        runs("cnn", "vit", seed=1) | after_runs("cnn", "vit", seed=1),
    ),
    "a removed model": (remove_model, STACK | {"plot_curves", "plot_timings"}),
    "the stacker's settings": (config_change("stack", "num_leaves", value=3), STACK),
    "the evaluation": (config_change("evaluation", "bootstrap", value=200), SCORES | EXPORT),
    "the export's gate": (
        config_change("export", "samples", value=10),
        {"verify_export cnn", "verify_export vit", "verify_ensemble", "write_model_card", "predict_new"},
    ),
    "the loss": (
        lambda p: p.edit(f"{LIBRARY}/training/losses.py", "def build_loss(", "SPARE = 1\n\n\ndef build_loss("),
        ALL_RUNS | after_runs("cnn", "vit"),
    ),
    "one architecture": (
        lambda p: p.edit(f"{LIBRARY}/models/architectures/small_vit.py", "TASK =", "SPARE = 1\nTASK ="),
        runs("vit") | after_runs("vit") | {"trace_model vit"},
    ),
    "how a network is traced": (
        lambda p: p.edit(f"{LIBRARY}/export/tracing.py", "LETTERS = 200", "LETTERS = 199"),
        {f"{rule} {model}" for rule in ("trace_model", "export_model", "verify_export") for model in ("cnn", "vit")}
        | EXPORT,
    ),
    "a plot's colour": (
        lambda p: p.edit(f"{LIBRARY}/report/figures/timings.py", "LANE_HEIGHTS = (15", "LANE_HEIGHTS = (14"),
        {"plot_timings", "render_report"},
    ),
    "the report's text": (lambda p: p.edit("workflow/report/folds.rst", "fold", "FOLD"), set()),
    "a comment and the formatting": (
        lambda p: p.edit(f"{LIBRARY}/training/losses.py", "def build_loss(", "# why\n\n\ndef build_loss("),
        set(),
    ),
    "a word in the lock": (
        lambda p: p.edit(f"{LIBRARY}/jobs/lock.py", "wait until it ends, stop it", "wait for its end"),
        set(),
    ),
    "how GPUs are leased": (
        lambda p: p.edit(f"{LIBRARY}/gpus/leases.py", "import time\n", "import time\n\nSPARE = 1\n"),
        set(),
    ),
    "the terminal": (lambda p: p.edit(f"{LIBRARY}/jobs/terminal.py", "The whole report:", "Whole report:"), set()),
    "TensorBoard": (
        lambda p: p.edit(f"{LIBRARY}/jobs/tensorboard.py", "import time\n", "import time\n\nSPARE = 1\n"),
        set(),
    ),
    "a module moved": (move_a_module, set()),
    "touch of everything": (touch_everything, set()),
    "a moved folder": (move, set()),
    "a fresh clone with results copied in": (copy_into_fresh_clone, set()),
    "the order of the models": (
        lambda p: p.config.__setitem__("models", dict(reversed(p.config["models"].items()))),
        set(),
    ),
    "folds": (config_change("folds", "seed", value=1), {"assign_folds"}),  # the rest once the folds are known
}


@pytest.mark.parametrize("what", TABLE)
def test_changing_x_reruns_exactly_y(copy_of_finished, what):
    """`make reruns` executes every row; here most rows are only planned, to save an hour."""
    change, expected = TABLE[what]
    change(copy_of_finished)
    assert copy_of_finished.planned() == expected
    if "FOLDSTACK_EXECUTE_RERUNS" in os.environ or what in EXECUTED:
        copy_of_finished.run()
        found = jobs_in(newest_log(copy_of_finished))
        assert found == expected if what != "folds" else found > ALL_RUNS | expected
        assert copy_of_finished.planned() == set()


def test_going_back_to_an_earlier_config_trains_nothing(copy_of_finished, finished):
    copy_of_finished.config["models"]["cnn"]["epochs"] = 1
    copy_of_finished.run("--until", "collect_oof")
    assert oof_bytes(copy_of_finished) != oof_bytes(finished)
    del copy_of_finished.config["models"]["cnn"]["epochs"]
    copy_of_finished.run("--until", "collect_oof")
    assert oof_bytes(copy_of_finished) == oof_bytes(finished)
    for fold in (0, 1):
        log = copy_of_finished.results / "logs" / "train_fold" / "cnn" / "seed0" / f"fold{fold}.log"
        assert "reused: this run finished on" in log.read_text()


def oof_bytes(project) -> bytes:
    return (project.results / "oof" / "cnn" / "seed0.arrow").read_bytes()


@pytest.mark.parametrize("target", [(), ("predict",)], ids=["all", "predict"])
def test_what_a_killed_job_took_along_is_missed(copy_of_finished, target):
    """Snakemake removes a job's outputs before the job starts; what was made from the earlier ones is still there."""
    lost = {
        "oof/cnn/seed0.arrow": "collect_oof cnn 0",
        "stack/stack.json": "fit_stacker",
        "evaluation/metrics.json": "evaluate",
        "export/models/cnn.onnx": "export_model cnn",
        "export/parity/vit.json": "verify_export vit",
    }
    for name in lost:
        (copy_of_finished.results / name).unlink()
    planned = copy_of_finished.planned(*target)
    assert set(lost.values()) | {"export_ensemble", "predict_new"} <= planned
    assert not planned & ALL_RUNS


def test_cores_and_profile_change_nothing(copy_of_finished):
    assert copy_of_finished.run(cores=1).returncode == 0
    assert jobs_in(newest_log(copy_of_finished)) == set()
    assert copy_of_finished.planned("--resources", "gpu=3") == set()


def test_data_prep_that_writes_the_same_content_reruns_nothing_behind_it(copy_of_finished):
    before = {path: path.read_bytes() for path in copy_of_finished.results.rglob("*.parquet")}
    copy_of_finished.run("--forcerun", "prepare_data")
    assert jobs_in(newest_log(copy_of_finished)) == {"prepare_data", "assign_folds"}
    assert {path: path.read_bytes() for path in before} == before
    assert copy_of_finished.planned() == set()


def newest_log(project) -> str:
    logs = (project.folder / ".snakemake" / "log").glob("*.log")
    return max(logs, key=lambda path: path.stat().st_mtime).read_text()


def image_folder(folder, n=24):
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(0, 120, (8, 8, 3), dtype=np.uint8) + np.uint8(100 * (label == "cat"))
            Image.fromarray(pixels).save(folder / label / f"{i}.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A finished run on a folder of 48 images."""
    folder = tmp_path_factory.mktemp("images")
    image_folder(folder / "project" / "pictures")
    config = {
        "experiment": "pictures",
        "data": {"format": "imagefolder", "path": "pictures"},
        "folds": {"n_splits": 2, "inner_splits": 2},
        "training": {"epochs": 1, "batch_size": 8},
        "models": {"cnn": {"architecture": "small_cnn", "options": {"width": 4}}},
        "stack": {"n_estimators": 2, "min_child_samples": 1},
        "evaluation": {"bootstrap": 100},
    }
    made = Project(folder / "project", config)
    made.run()
    return made


def replaced(pictures):
    shutil.copy(pictures / "dog" / "1.png", pictures / "cat" / "1.png")


IMAGE_CHANGES = {
    "one image replaced": replaced,
    "one image added": lambda pictures: shutil.copy(pictures / "dog" / "1.png", pictures / "dog" / "new.png"),
    "a class renamed": lambda pictures: (pictures / "cat").rename(pictures / "lynx"),
}


@pytest.mark.parametrize("what", IMAGE_CHANGES)
def test_a_change_of_the_images_reruns_everything_that_saw_them(images, tmp_path, what):
    project = Project.__new__(Project)
    project.config, project.folder = images.config, tmp_path / "copy"
    shutil.copytree(images.folder, project.folder)
    assert project.planned() == set()
    IMAGE_CHANGES[what](project.folder / "pictures")
    assert project.planned() == {"prepare_data", "assign_folds"}
    project.run("--until", "assign_folds")
    assert project.planned() >= {"plot_data", "plot_folds"} | runs("cnn") | after_runs("cnn") - {"predict_new"}


def test_touching_the_images_reruns_nothing(images, tmp_path):
    for path in (images.folder / "pictures").rglob("*.png"):
        os.utime(path)
    assert images.planned() == set()
