"""The gate an exported model must pass: the same probabilities as torch and as the pipeline, on real samples."""

from collections.abc import Sequence

import numpy as np
import torch

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.export import agreement
from foldstack.export.model import Run, order_runs
from foldstack.export.session import batches, open_session, run_batches
from foldstack.jobs.progress import steps
from foldstack.models.network import load_classifier
from foldstack.probabilities import softmax


def read_pipeline(test_files: Sequence[Run], sample_ids: Sequence[str], classes) -> np.ndarray:
    """The pipeline's own predictions, (N, n_splits, C) float64: the mean over seeds for each fold, joined by id.

    Args:
        test_files: (seed, fold, test.arrow) of each run.

    Raises FoldstackError where a run did not predict one of the samples.
    """
    ordered, seeds, n_splits = order_runs(test_files)
    each = []
    for _, _, path in ordered:
        frame = tables.read_predictions(path, classes).set_index("sample_id")
        missing = sorted(set(sample_ids) - set(frame.index))
        if missing:
            raise FoldstackError(f"{path} has no prediction for test sample {missing[0]!r}; delete it and run again.")
        each.append(tables.probabilities(frame.loc[list(sample_ids)]))
    return _seed_means(each, len(seeds), n_splits)


def read_out_of_fold(oof_files: Sequence[Run], sample_ids: Sequence[str], classes) -> np.ndarray:
    """As `read_pipeline`, for training samples, from oof.arrow: NaN except in the fold of the sample.

    Raises FoldstackError where a sample was not predicted by the runs of one fold.
    """
    ordered, seeds, n_splits = order_runs(oof_files)
    frames = [tables.read_predictions(path, classes).set_index("sample_id") for _, _, path in ordered]
    each = []
    for frame in frames:
        places = frame.index.get_indexer(list(sample_ids))  # -1 where it has none
        values = softmax(tables.logits(frame)[places])
        values[places < 0] = np.nan
        each.append(values)
    found = _seed_means(each, len(seeds), n_splits)
    once = np.isfinite(found).all(axis=2).sum(axis=1) == 1
    if not once.all():
        name = sample_ids[int((~once).argmax())]
        raise FoldstackError(f"Training sample {name!r} is not predicted by the runs of one fold; run them again.")
    return found


def torch_probabilities(runs: Sequence[Run], pixels: np.ndarray) -> np.ndarray:
    """(N, n_splits, C) float64 of torch on the CPU, the mean over seeds for each fold; one network at a time."""
    ordered, seeds, n_splits = order_runs(runs)
    each = []
    for _, _, weights in steps(ordered, "comparing networks with torch"):
        network = load_classifier(weights).eval()
        with torch.inference_mode():
            parts = [network(torch.from_numpy(batch)).double().softmax(-1) for batch in batches(pixels)]
        each.append(torch.cat(parts).numpy())
    return _seed_means(each, len(seeds), n_splits)


def check(
    onnx_path,
    runs: Sequence[Run],
    pixels: np.ndarray,
    *,
    tolerance: float = 1e-4,
    pipeline: np.ndarray | None = None,
    pipeline_tolerance: float | None = None,
    threads: int = 1,
) -> dict:
    """Compare an exported model with torch, on real samples and on all-black and all-white ones.

    Args:
        runs: (seed, fold, weights file) that the file was made of.
        pixels: uint8 (N, H, W, C) or (N, 2, H, W, C), stored pixels.
        tolerance: largest absolute difference of any probability, of the mean and of each fold.
        pipeline: (N, n_splits, C) of `read_pipeline` or `read_out_of_fold`, for the same samples, or None.
        pipeline_tolerance: `tolerance` by default; for runs that were trained elsewhere, `agreement.DEVICE_TOLERANCE`.

    Returns the parity report. Raises FoldstackError where a difference is too large or a label flips.
    """
    extremes = np.stack([np.zeros_like(pixels[0]), np.full_like(pixels[0], 255)])
    images = np.concatenate([pixels, extremes])
    session, metadata = open_session(onnx_path, threads)
    mean, folds = run_batches(session, images)
    expected = torch_probabilities(runs, images)
    if folds.shape != expected.shape:
        raise FoldstackError(f"{onnx_path} was exported from other runs (folds or classes differ); export it again.")
    difference = max(agreement.difference(folds, expected), agreement.difference(mean, expected.mean(axis=1)))
    report = {
        "model": metadata["model"],
        "samples": len(pixels),
        "tolerance": tolerance,
        "max_abs_difference": difference,
        "label_flips": agreement.flips(mean, expected.mean(axis=1)),
        "pipeline_tolerance": None,
        "pipeline_max_abs_difference": None,
        "pipeline_label_flips": None,
    }
    agreement.require(onnx_path, "torch", "probabilities", difference, tolerance, report["label_flips"])
    if pipeline is not None:
        limit = tolerance if pipeline_tolerance is None else pipeline_tolerance
        known = np.isfinite(pipeline)
        own = np.where(known, folds[: len(pixels)], np.nan)
        difference = agreement.difference(own[known], pipeline[known])
        flips = agreement.flips(np.nanmean(own, axis=1), np.nanmean(pipeline, axis=1))
        report |= {
            "pipeline_tolerance": limit,
            "pipeline_max_abs_difference": difference,
            "pipeline_label_flips": flips,
        }
        strict = flips if limit <= tolerance else 0
        agreement.require(onnx_path, "the pipeline's own predictions", "probabilities", difference, limit, strict)
    return report | {"passed": True}


def _seed_means(each: list[np.ndarray], n_seeds: int, n_splits: int) -> np.ndarray:
    """(N, n_splits, C) from one (N, C) a run, ordered by fold, then seed."""
    return np.stack(each, axis=1).reshape(len(each[0]), n_splits, n_seeds, -1).mean(axis=2)
