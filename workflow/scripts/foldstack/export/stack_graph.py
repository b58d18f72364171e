"""The stack as an ONNX graph: from the networks' probabilities to the ensemble's outputs, in double precision."""

import numpy as np
from onnx import GraphProto, numpy_helper, parser

from foldstack.ensemble import pool, shared
from foldstack.ensemble.stacking import BLENDS
from foldstack.export.trees import tree_node


def stack_graph(n_models: int, n_splits: int, n_classes: int, spec: dict, booster) -> GraphProto:
    """From `model<i>_fold_probabilities` to all outputs.

    Args:
        spec, booster: stack.json, and the `lightgbm.Booster` of stacker.txt.
    """
    networks = "\n".join(f"one{i} = Unsqueeze(model{i}_fold_probabilities, axis_1)" for i in range(n_models))
    parts = ", ".join(f"one{i}" for i in range(n_models))
    outputs = f"""
        float[batch, {n_classes}] probabilities, int64[batch] label, string[batch] class_name,
        float[batch, {n_models}, {n_classes}] model_probabilities, float[batch, {n_classes}] mean_probabilities,
        float[batch, {n_models}, {n_splits}, {n_classes}] fold_probabilities, string[{n_classes}] classes"""
    method, constants = _method(n_models, n_classes, spec)
    text = f"""stack (double[rows, targets] raw_scores) => ({outputs}) {{
        axis_1 = Constant<value = int64[1] {{1}}>()
        axis_2 = Constant<value = int64[1] {{2}}>()
        axis_3 = Constant<value = int64[1] {{3}}>()
        axis_last = Constant<value = int64[1] {{-1}}>()
        {networks}
        members_single = Concat<axis = 1>({parts})
        members_double = Cast<to = 11>(members_single)
        members_sum = ReduceSum<keepdims = 1>(members_double, axis_last)
        members = Div(members_double, members_sum)
        fold_probabilities = Cast<to = 1>(members)
        of_models = ReduceMean<keepdims = 0>(members, axis_2)
        model_probabilities = Cast<to = 1>(of_models)
        of_mean = ReduceMean<keepdims = 0>(of_models, axis_1)
        mean_probabilities = Cast<to = 1>(of_mean)
        {method}
        folds_shape = Constant<value = int64[3] {{-1, {n_splits}, {n_classes}}}>()
        of_folds = Reshape(of_rows, folds_shape)
        of_ensemble = ReduceMean<keepdims = 0>(of_folds, axis_1)
        probabilities = Cast<to = 1>(of_ensemble)
        label = ArgMax<axis = 1, keepdims = 0>(of_ensemble)
        class_name = Gather(class_names, label)
        classes = Identity(class_names)
    }}"""
    graph = parser.parse_graph(text)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    if spec["method"] == "lightgbm":  # the text parser has no attributes of many numbers
        place = [node.output[0] for node in graph.node].index("features") + 1
        graph.node.insert(place, tree_node(booster, *tree_shape(n_models, n_classes, spec), "features", "raw_scores"))
    return graph


def tree_shape(n_models: int, n_classes: int, spec: dict) -> tuple[int, int]:
    """How many features LightGBM reads and how many scores it gives."""
    return (n_models * n_classes, n_classes) if spec["form"] == "per_class" else (n_models * shared.FEATURES, 1)


def _method(n_models: int, n_classes: int, spec: dict) -> tuple[str, dict[str, np.ndarray]]:
    """From `members` to `of_rows`, a row for each sample and fold, as `stacking.predict_stack`; and its constants."""
    method = spec["method"]
    if method in BLENDS:
        text = """weighted = Mul(members, weights)
        of_rows = ReduceSum<keepdims = 0>(weighted, axis_1)"""
        weights = {"best_single": {spec["best_single"]: 1.0}, "greedy": spec["weights"]}
        own = weights.get(method, dict.fromkeys(spec["models"], 1 / n_models))
        return text, {"weights": np.array([[[own.get(model, 0.0)]] for model in spec["models"]])}
    if method == "pool":
        text, constants = _pool(n_models, n_classes, spec)
        return text + "\n        of_rows = Identity(pool)", constants
    if method == "lightgbm" and spec["form"] == "shared":
        return _shared(n_models, n_classes, spec)
    text = f"""floor = Constant<value = double {{{spec["floor"]!r}}}>()
        certain = Constant<value = double {{1.0}}>()
        clipped = Clip(members, floor, certain)
        logs = Log(clipped)
        by_fold = Transpose<perm = [0, 2, 1, 3]>(logs)
        rows_shape = Constant<value = int64[2] {{-1, {n_models * n_classes}}}>()
        features = Reshape(by_fold, rows_shape)"""
    constants = {}
    if method == "logistic":
        text += """
        products = MatMul(features, coef)
        raw_scores = Add(products, intercept)"""
        constants = {
            "coef": np.array(spec["logistic"]["coef"], np.float64).T,
            "intercept": np.array(spec["logistic"]["intercept"], np.float64),
        }
    return text + "\n        of_rows = Softmax<axis = -1>(raw_scores)", constants


def _pool(n_models: int, n_classes: int, spec: dict) -> tuple[str, dict[str, np.ndarray]]:
    """From `members` to `given` (rows, models, classes), the pool's `logits` and its probabilities `pool`."""
    text = f"""by_fold = Transpose<perm = [0, 2, 1, 3]>(members)
        given_shape = Constant<value = int64[3] {{-1, {n_models}, {n_classes}}}>()
        given = Reshape(by_fold, given_shape)
        least = Constant<value = double {{{pool.LEAST!r}}}>()
        at_least = Max(given, least)
        logs = Log(at_least)
        weighted = Mul(logs, pool_weights)
        logits = ReduceSum<keepdims = 0>(weighted, axis_1)
        pool = Softmax<axis = -1>(logits)"""
    return text, {"pool_weights": np.array([[spec["pool"][model]] for model in spec["models"]])}


def _shared(n_models: int, n_classes: int, spec: dict) -> tuple[str, dict[str, np.ndarray]]:
    """As `shared.predict`; a candidate of several models is worked out once for each, which gives the same number."""
    leading = min(shared.LEADING, n_classes)
    text, constants = _pool(n_models, n_classes, spec)
    text += f"""
        leading = Constant<value = int64[1] {{{leading}}}>()
        leading_values, leading_classes = TopK<axis = -1>(given, leading)
        said = ArgMax<axis = 2, keepdims = 1>(given)
        floor = Constant<value = double {{{spec["floor"]!r}}}>()
        is_likely = GreaterOrEqual(leading_values, floor)
        likely = Where(is_likely, leading_classes, said)
        chosen_shape = Constant<value = int64[2] {{-1, {n_models * leading}}}>()
        chosen = Reshape(likely, chosen_shape)
        chosen_once = Unsqueeze(chosen, axis_1)
        all_models = Constant<value = int64[3] {{1, {n_models}, 1}}>()
        chosen_each = Expand(chosen_once, all_models)
        own = GatherElements<axis = 2>(given, chosen_each)
        highest = ReduceMax<keepdims = 1>(given, axis_2)
        relative = Div(own, highest)
        certain = Constant<value = double {{1.0}}>()
        own_clipped = Clip(own, floor, certain)
        relative_clipped = Clip(relative, floor, certain)
        said_cell = Add(said, said_start)
        said_total = Gather(confusion_totals, said_cell)
        n_classes = Constant<value = int64 {{{n_classes}}}>()
        row_start = Mul(said_cell, n_classes)
        cell = Add(row_start, chosen_each)
        found_integer = Gather(confusions, cell)
        found = Cast<to = 11>(found_integer)
        is_said = Equal(chosen_each, said)
        prior = Where(is_said, confusion_right, confusion_wrong)
        smoothing = Constant<value = double {{{shared.SMOOTHING!r}}}>()
        of_prior = Mul(smoothing, prior)
        numerator = Add(found, of_prior)
        denominator = Add(said_total, smoothing)
        counted = Div(numerator, denominator)
        feature_1 = Unsqueeze(own_clipped, axis_3)
        feature_2 = Unsqueeze(relative_clipped, axis_3)
        feature_3 = Unsqueeze(counted, axis_3)
        by_model = Concat<axis = 3>(feature_1, feature_2, feature_3)
        by_candidate = Transpose<perm = [0, 2, 1, 3]>(by_model)
        features_shape = Constant<value = int64[2] {{-1, {n_models * shared.FEATURES}}}>()
        features = Reshape(by_candidate, features_shape)
        scores = Reshape(raw_scores, chosen_shape)
        offset = GatherElements<axis = 1>(logits, chosen)
        raised = Add(offset, scores)
        zeros = Sub(logits, logits)
        impossible = Constant<value = double {{-1e300}}>()
        lowest = Add(zeros, impossible)
        corrected = ScatterElements<axis = 1>(lowest, chosen, raised)
        of_candidates = Softmax<axis = -1>(corrected)
        nothing = Sub(raised, raised)
        rest = ScatterElements<axis = 1>(pool, chosen, nothing)
        of_rest = ReduceSum<keepdims = 1>(rest, axis_1)
        of_chosen = Sub(certain, of_rest)
        shared_out = Mul(of_candidates, of_chosen)
        of_rows = Add(shared_out, rest)"""
    counts = shared.unpacked(spec["confusions"], spec["models"], n_classes)
    right = shared.accuracy(counts)
    constants |= {
        "confusions": counts.astype(np.int32).reshape(-1),
        "confusion_totals": counts.sum(axis=2).astype(np.float64).reshape(-1),
        "confusion_right": right[:, None],
        "confusion_wrong": (1 - right)[:, None] / (n_classes - 1),
        "said_start": np.arange(n_models)[:, None] * n_classes,
    }
    return text, constants
