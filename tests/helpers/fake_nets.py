"""A small experiment on disk with real files at every stage; only the training is left out: networks stay random."""

import copy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from data_config import DATA
from fake_runs import STACK, run_script
from PIL import Image

import assign_folds
import collect_oof
import export_ensemble
import export_model
import fit_stacker
from foldstack import tables
from foldstack.data.prepare import prepare
from foldstack.export import onnx_file, tracing
from foldstack.files import read_json, write_json
from foldstack.folds import split as splits
from foldstack.models.network import Classifier, load_classifier, save_classifier
from foldstack.runs import beside

CLASSES = ["cat", "dog", "owl"]
MEMBERS = {"cnn": [0, 3], "vit": [0]}
ARCHITECTURES = {
    "cnn": ("small_cnn", {"width": 4}),
    "vit": ("small_vit", {"width": 8, "depth": 1, "heads": 2}),
    "pair": ("siamese", {"width": 4, "features": 8}),
    "resnet": ("test_resnet", {}),
}
SCORES = {"oof": {"accuracy": 0.5, "accuracy_low": 0.4, "confusion": [[1]]}, "test": {"accuracy": 0.4}}
FOLDS = {"strategy": "stratified", "n_splits": 2, "inner_splits": 3, "seed": 0}


def classifier(name, seed, *, stored=(12, 12), size=(16, 16), channels=3, task="images"):
    """A random network in which nothing is dead: normalisations scale and shift, its answers follow the input."""
    architecture, options = ARCHITECTURES[name]
    torch.manual_seed(seed)
    spec = {"architecture": architecture, "options": options, "image_size": list(size), "store_size": list(stored)}
    network = Classifier(spec | {"channels": channels, "task": task, "classes": CLASSES})
    views = (2,) if task == "pairs" else ()
    return enliven(network, torch.from_numpy(random_pixels(40, (*views, *stored, channels))))


def enliven(network, pixels):
    """Normalisations that scale and shift, and a head whose logits differ between `pixels`."""
    for key, value in network.state_dict().items():
        if key.endswith("weight") and value.ndim == 1:
            value.uniform_(0.5, 1.5)
        elif key.endswith("bias"):
            value.uniform_(-0.5, 0.5)
    network.set_statistics(pixels)
    head = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.inference_mode():
        for _ in range(20):  # statistics of normalisations
            network.train()(pixels)
        logits = network.eval()(pixels)
        scale = 1.5 / logits.std(dim=0)[: len(head.weight)]
        head.weight.mul_(scale[:, None])
        if head.bias is not None:
            head.bias.sub_(logits.mean(dim=0)).mul_(scale)
    return network


def save_runs(root, name, seeds=(0, 1), n_splits=2, **kind):
    """Weights of one random network for each seed and fold; returns [(seed, fold, weights file)]."""
    runs = []
    for seed in seeds:
        for fold in range(n_splits):
            path = root / name / f"seed{seed}" / f"fold{fold}" / "weights.safetensors"
            save_classifier(classifier(name, 100 * seed + fold, **kind), path)
            runs.append((seed, fold, path))
    return runs


def metadata(name, *, stored=(12, 12), channels=3, task="images", **_):
    described = {"model": name, "classes": CLASSES, "task": task, "image_size": list(stored), "channels": channels}
    return described | {"fit": "crop", "data_digest": "data-1", "folds_digest": "folds-1"}


def random_pixels(count, shape, seed=0):
    """(count, *shape) uint8: noise around a colour of each image's own."""
    rng = np.random.default_rng(seed)
    colours = rng.uniform(0, 255, (count, *shape[:-3], 1, 1, shape[-1]))
    return (colours + rng.normal(scale=50, size=(count, *shape))).clip(0, 255).astype(np.uint8)


def write_images(folder, counts, size, seed):
    """PNG files `<class>/<number>.png`: noise around a colour of the class."""
    rng = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(counts):
            colour = np.roll([200, 120, 40], label) + rng.normal(scale=40, size=3)
            pixels = (colour + rng.normal(scale=60, size=(*size, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def experiment(root, size=(12, 12), **data):
    """Images, folds, runs, OOF and stack below `root`, each by the workflow's own code; returns the paths by name."""
    write_images(root / "new" / "train", 24, size, seed=1)
    write_images(root / "new" / "test", 8, size, seed=2)
    paths = SimpleNamespace(root=root, images=root / "new")
    for name in ("samples.parquet", "pixels.npy", "dataset.json", "quarantine.csv"):
        setattr(paths, name.split(".")[0], root / "data" / name)
    given = {"samples": paths.samples, "pixels": paths.pixels, "dataset": paths.dataset}
    duplicates = root / "data" / "duplicates.parquet"
    config = DATA | {"format": "imagefolder", "path": str(paths.images), "test_path": None} | data
    prepare(config, quarantine=paths.quarantine, pairs=duplicates, intake=root / "data" / "intake.json", **given)
    given |= {"duplicates": duplicates}
    paths.folds, paths.folds_summary = root / "folds" / "folds.parquet", root / "folds" / "folds.json"
    out = {"folds": paths.folds, "summary": paths.folds_summary}
    run_script(assign_folds.main, root, "assign_folds", given, out, config={"folds": FOLDS})
    given |= {"folds": paths.folds, "folds_summary": paths.folds_summary}
    paths.runs = {model: [run(paths, model, s, k) for s in seeds for k in range(2)] for model, seeds in MEMBERS.items()}
    collected = []
    for model, seeds in MEMBERS.items():
        for seed in seeds:
            files = {kind: root / kind / model / f"seed{seed}.arrow" for kind in ("oof", "test")}
            runs = [path for path in paths.runs[model] if f"seed{seed}/" in path]
            where = {"model": model, "seed": seed}
            run_script(collect_oof.main, root, "collect_oof", given | {"runs": runs}, files, where)
            collected.append(files)
    inputs = given | {kind: [str(files[kind]) for files in collected] for kind in ("oof", "test")}
    for name in ("stacker.txt", "stack.json", "oof.arrow", "test.arrow"):
        setattr(paths, "stack_" + name.split(".")[0], root / "stack" / name)
    out = {"stacker": paths.stack_stacker, "stack": paths.stack_stack}
    out |= {"oof": paths.stack_oof, "test": paths.stack_test}
    config = {"members": MEMBERS, "stack": STACK}
    run_script(fit_stacker.main, root, "fit_stacker", inputs, out, config=config)
    return paths


def export(paths):
    """Run the export rules of `experiment`; adds the exported files to `paths`."""
    paths.onnx = {}
    for model, runs in paths.runs.items():
        paths.onnx[model] = str(paths.root / "export" / "models" / f"{model}.onnx")
        graph = str(paths.root / "export" / "traces" / f"{model}.onnx")
        if not Path(graph).exists():
            trace_of(runs[0], model).save(graph)
        inputs = {"graph": graph, "runs": runs, "dataset": paths.dataset, "folds_summary": paths.folds_summary}
        where = {"model": model}
        run_script(export_model.main, paths.root, "export_model", inputs, {"onnx": paths.onnx[model]}, where)
    paths.metrics, paths.ensemble = paths.root / "evaluation" / "metrics.json", paths.root / "export" / "ensemble.onnx"
    write_json(paths.metrics, {"stack": {"lightgbm": SCORES}})
    run_script(export_ensemble.main, paths.root, "export_ensemble", inputs_of_ensemble(paths), {"onnx": paths.ensemble},
               config="CC-BY-4.0")  # fmt: skip
    return paths


def export_beside(paths, root, monkeypatch):
    """The exported files of `export` once more below `root`, as if they were too large for one file each."""
    monkeypatch.setattr(onnx_file, "LIMIT", 1000)
    again = SimpleNamespace(**vars(paths))
    again.root = root
    for model in paths.runs:
        graph = paths.root / "export" / "traces" / f"{model}.onnx"
        Path(root / "export" / "traces").mkdir(parents=True, exist_ok=True)
        shutil.copy(graph, root / "export" / "traces")
    return export(again)


def trace_of(run_file, model):
    """The trace of the network of a run, given its run.json."""
    return tracing.trace(load_classifier(beside(run_file, "weights")), model)


def inputs_of_ensemble(paths):
    inputs = {"models": list(paths.onnx.values()), "runs": [run for runs in paths.runs.values() for run in runs]}
    inputs |= {"stacker": paths.stack_stacker, "stack": paths.stack_stack, "metrics": paths.metrics}
    return inputs | {"dataset": paths.dataset, "folds_summary": paths.folds_summary}


def run(paths, model, seed, fold, folder=None):
    """One run as train_fold leaves it, of an untrained network; returns the path of its run.json."""
    folder = folder or paths.root / "models" / model / f"seed{seed}" / f"fold{fold}"
    dataset, summary = read_json(paths.dataset), read_json(paths.folds_summary)
    samples, folds = tables.read_samples(paths.samples).set_index("sample_id"), tables.read_folds(paths.folds)
    pixels = np.load(paths.pixels)
    height, width = dataset["image_size"]
    network = classifier(model, 100 * seed + fold + len(model), stored=(height, width))
    save_classifier(copy.deepcopy(network), folder / "weights.safetensors")
    train, aside, held_out = splits.split_ids(folds, fold, "inner")
    for name, ids in (("oof", held_out), ("test", sorted(samples.index[samples["split"] == "test"]))):
        with torch.inference_mode():
            logits = network(torch.from_numpy(pixels[samples.loc[ids, "row"].to_numpy()]))
        frame = tables.predictions(ids, logits.numpy())
        tables.write_predictions(frame, folder / f"{name}.arrow", CLASSES)
    ids = {"train_ids": train, "selection_ids": aside, "predicted_ids": held_out}
    record = {"model": model, "seed": seed, "fold": fold, "status": "completed", "device": "cpu"}
    record |= {
        "config": {"architecture": ARCHITECTURES[model][0]},
        "code": ["foldstack/network.py@0"],
        "code_digest": "0",
    }
    record |= {"data_digest": dataset["digest"], "folds_digest": summary["digest"]}
    write_json(folder / "run.json", record | {key: tables.ids_digest(value) for key, value in ids.items()})
    return str(folder / "run.json")
