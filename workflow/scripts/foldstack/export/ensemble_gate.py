"""The gate that export/ensemble.onnx must pass before it is used.

It is compared with the pipeline's own test predictions, and part by part with what it was made of: the models' files
and LightGBM, at real samples and at adversarial ones.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from foldstack.data.decode import Geometry, convert
from foldstack.ensemble.stacking import predict_folds, tree_features
from foldstack.errors import FoldstackError
from foldstack.export import agreement
from foldstack.export.cut import cut
from foldstack.export.ensemble import golden_images
from foldstack.export.session import input_shape, open_session, run_batches, run_ensemble, session_of
from foldstack.export.trees import thresholds
from foldstack.jobs.progress import steps
from foldstack.probabilities import normalised

TREE_TOLERANCE = 1e-12  # raw scores, which are sums of doubles
ZERO = 2e-35  # LightGBM replaces smaller values by 0 before it compares with a threshold; no feature is so small
MAX_TREE_ROWS = 20_000
THRESHOLD_SHARE = 0.01  # of rows whose features rounding has moved across a tree's threshold
PIPELINE = "the pipeline's own predictions"


def check(
    path,
    onnx_paths: Sequence,
    booster,
    stack: dict,
    pixels: np.ndarray,
    *,
    tolerance: float,
    pipeline: tuple[np.ndarray, np.ndarray | None] | None = None,
    on_cpu: bool = True,
) -> dict:
    """Run all comparisons; returns parity.json.

    Args:
        path: ensemble.onnx.
        onnx_paths, booster, stack: what it was made of: the models' files, stacker.txt and stack.json.
        pixels: uint8 (N, ...), stored pixels of real samples.
        tolerance: largest absolute difference of any probability.
        pipeline: the pipeline's own predictions for these samples: members (M, n_splits, N, C), ensemble (N, C). For
            training samples, members are those of `by_fold`, and the ensemble is None: the deployed stacker has learned
            from these samples, so the pipeline has no predictions of it for them.
        on_cpu: whether the runs predicted on a CPU. Lower precision on a GPU moves features across thresholds of the
            trees, so then only the members are compared, with `agreement.DEVICE_TOLERANCE`.

    Raises FoldstackError where a difference is too large or a label flips.
    """
    session, metadata = open_session(path)
    proto = onnx.load(path, load_external_data=False)  # the parts that are cut out need no weights
    extremes = np.stack([np.full_like(pixels[0], value) for value in (0, 255)])
    images = np.concatenate([pixels, extremes])
    outputs = run_ensemble(session, images)
    agreement.check_batches(path, lambda batch: run_ensemble(session, batch)["fold_probabilities"], images)
    members = _members(onnx_paths, stack["models"], images)
    expected = predict_folds(stack["method"], stack, members, booster)
    found = outputs["fold_probabilities"].transpose(1, 2, 0, 3).astype(np.float64)
    agreement.require(path, "the models' own files", "members", agreement.difference(found, members), tolerance)
    report = {"samples": len(pixels), "tolerance": tolerance, "batches": list(agreement.SIZES), "on_cpu": on_cpu}
    report |= _ensemble(path, stack["method"], outputs, found, members, expected, booster, stack, tolerance)
    if stack["method"] == "lightgbm":
        report["trees"] = _trees(path, proto, booster, found, stack)
    report["resize"] = _odd_sizes(path, session, proto, metadata, tolerance)
    report["golden_max_abs_difference"] = _golden(path, session, metadata)
    if pipeline is not None:
        theirs, ensemble = pipeline
        count = len(pixels)
        own = {key: value[:count] for key, value in outputs.items()}
        limit, known = tolerance if on_cpu else agreement.DEVICE_TOLERANCE, np.isfinite(theirs)
        difference = agreement.difference(found[:, :, :count][known], theirs[known])
        agreement.require(path, PIPELINE, "members", difference, limit)
        compared = {"part": "oof", "members_max_abs_difference": difference, "members_tolerance": limit}
        if ensemble is not None:
            strict = tolerance if on_cpu else None
            result = _ensemble(path, PIPELINE, own, found[:, :, :count], theirs, ensemble, booster, stack, strict)
            compared |= result | {"part": "test"}
        report["pipeline"] = compared
    return report | {"passed": True}


def by_fold(members: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(M, n_splits, N, C) from out-of-fold predictions (M, N, C): NaN except in the fold (N,) of the sample."""
    whole = np.full((len(members), int(folds.max()) + 1, *members.shape[1:]), np.nan)
    whole[:, folds, np.arange(len(folds))] = members
    return whole


def _members(onnx_paths: Sequence, models: Sequence[str], images: np.ndarray) -> np.ndarray:
    """(M, n_splits, N, C) float64 that sum to 1, by the models' own files."""
    found = {}
    for path in steps(onnx_paths, "comparing with the models' own files"):  # one at a time in memory
        session, metadata = open_session(path)
        found[metadata["model"]] = run_batches(session, images)[1]
    return normalised(np.stack([found[model] for model in models]).transpose(0, 2, 1, 3))


def _ensemble(path, reference, outputs, found, members, expected, booster, stack, tolerance) -> dict:
    """Compare the final outputs; with tolerance None only report.

    A tree's score jumps at its thresholds, so rows whose features are on different sides of one in `found` and
    `members` (they differ by float32's rounding) cannot be checked by a tolerance; only few are allowed.
    """
    crossed = _crossed(found, members, booster, stack)
    probabilities = outputs["probabilities"].astype(np.float64)
    rest = ~crossed
    labels = np.argmax(probabilities, axis=1)
    flips = agreement.flips(probabilities[rest], expected[rest]) if rest.any() else 0
    result = {
        "max_abs_difference": agreement.difference(probabilities[rest], expected[rest]) if rest.any() else 0.0,
        "label_flips": flips,
        "threshold_rows": int(crossed.sum()),
    }
    mean = members.mean(axis=(0, 1))
    result["mean_max_abs_difference"] = agreement.difference(outputs["mean_probabilities"], mean)
    if tolerance is None:
        return result
    agreement.require(path, reference, "probabilities", result["max_abs_difference"], tolerance, flips)
    agreement.require(path, reference, "mean_probabilities", result["mean_max_abs_difference"], tolerance)
    of_models = agreement.difference(outputs["model_probabilities"], members.mean(axis=1).transpose(1, 0, 2))
    agreement.require(path, reference, "model_probabilities", of_models, tolerance)
    if crossed.sum() > max(1, THRESHOLD_SHARE * len(crossed)):
        raise FoldstackError(
            f"{path}: in {crossed.sum()} of {len(crossed)} samples a meta-feature is on the other side of a tree's "
            f"threshold than in {reference}; raise stack.floor or min_child_samples, and do not deploy the file."
        )
    wrong = (outputs["label"] != labels) & (agreement.margin(probabilities) > 0)
    names = np.array(stack["classes"], dtype=object)[outputs["label"]]
    if wrong.any() or (outputs["class_name"] != names).any():
        raise FoldstackError(
            f"{path}: its labels or class names do not follow from its probabilities; export it again."
        )
    return result


def _crossed(found: np.ndarray, members: np.ndarray, booster, stack: dict) -> np.ndarray:
    """(N,) bool: does a feature lie on two sides of a threshold? The two are (M, n_splits, N, C)."""
    crossed = np.zeros(found.shape[2], bool)
    limits = thresholds(booster) if stack["method"] == "lightgbm" else []
    rows_each = 1 if stack["form"] == "per_class" else len(stack["classes"])
    for fold in range(found.shape[1] if limits else 0):
        (own, values), (other, expected) = (tree_features(stack, each[:, fold]) for each in (found, members))
        crossed[np.setxor1d(own, other) // rows_each] = True  # another candidate
        both, at, other_at = np.intersect1d(own, other, return_indices=True)
        for column, limit in enumerate(limits):
            sides = (np.searchsorted(limit, table[:, column]) for table in (values[at], expected[other_at]))
            crossed[both[np.not_equal(*sides)] // rows_each] = True
    return crossed


def _trees(path, proto, booster, found: np.ndarray, stack: dict) -> dict:
    """The trees by themselves, on features at, just below and just above every threshold, saturated and missing."""
    real = np.concatenate([tree_features(stack, found[:, fold])[1] for fold in range(found.shape[1])])
    points = [
        (column, value)
        for column, limit in enumerate(thresholds(booster))
        for t in limit
        for value in (t, np.nextafter(t, -np.inf), np.nextafter(t, np.inf))
    ]
    points = points[:: len(points) // MAX_TREE_ROWS + 1]
    rows = real[np.arange(len(points)) % len(real)].copy()
    for row, (column, value) in zip(rows, points, strict=True):
        row[column] = value
    low, n_features = np.log(stack["floor"]), real.shape[1]
    extremes = np.stack([np.full(n_features, value) for value in (0.0, low, np.nan)])
    sparse = np.where(np.eye(n_features, dtype=bool), np.nan, real[np.arange(n_features) % len(real)])
    rows = np.concatenate([real[:1000], rows, extremes, sparse[:1000]])
    rows[np.abs(rows) < ZERO] = 0
    part = session_of(cut(proto, {"features": (onnx.TensorProto.DOUBLE, ["n", n_features])}, "raw_scores"))
    scores = part.run(None, {"features": rows})[0]
    expected = booster.predict(rows, raw_score=True, num_threads=1).reshape(scores.shape)
    difference = agreement.difference(scores, expected)
    agreement.require(path, "LightGBM's trees", "raw scores", difference, TREE_TOLERANCE)
    return {"rows": len(rows), "max_abs_difference": difference}


def _odd_sizes(path, session, proto, metadata: dict, tolerance: float) -> dict:
    """Images of other sizes: fitted in the graph to the very pixels that the data stage stores."""
    height, width = metadata["image_size"]
    geometry = Geometry(height, width, metadata["channels"], metadata["fit"])
    sizes = [
        (1, 1),
        (height + 3, 2 * width + 1),
        (3 * height, width),
        (height // 2 + 1, width),
        (2 * height, 3 * width),
    ]
    shape = input_shape(metadata)
    part = session_of(cut(proto, {"image": (onnx.TensorProto.UINT8, ["n", *_free(shape)])}, "pixels"))
    random, largest = np.random.default_rng(0), 0
    for size in sizes:
        images = random.integers(0, 256, (2, *shape[:-3], *size, shape[-1]), dtype=np.uint8)
        views = images.reshape(-1, *size, shape[-1])
        fitted = convert(views, geometry).reshape(2, *shape)
        pixels = part.run(None, {"image": images})[0]
        largest = max(largest, int(np.abs(pixels.astype(int) - fitted).max()))
        difference = agreement.difference(*(run_ensemble(session, x)["fold_probabilities"] for x in (images, pixels)))
        agreement.require(path, "itself", f"members of images of {size[0]} × {size[1]} pixels", difference, tolerance)
    if largest > 1:
        raise FoldstackError(
            f"{path} fits images of other sizes otherwise than the data stage, by up to {largest} of 255; "
            "do not deploy it."
        )
    return {"sizes": [list(size) for size in sizes], "max_pixel_difference": largest}


def _free(shape: tuple[int, ...]) -> list:
    return [*shape[:-3], "height", "width", shape[-1]]


def _golden(path, session, metadata: dict) -> float:
    images = golden_images(metadata)
    expected = np.array(metadata["golden"]["probabilities"])
    difference = agreement.difference(run_ensemble(session, images)["probabilities"], expected)
    agreement.require(path, "its golden samples", "probabilities", difference, metadata["golden"]["tolerance"])
    return difference
