"""LightGBM's trees as one ONNX node, written from `dump_model()`, in double precision.

Converters read some settings wrongly without a word (one-vs-all objectives, scaled sigmoids, random forests, zeros as
missing, linear leaves); here whatever is not known to be equal is refused.
"""

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from foldstack.errors import FoldstackError

OPSET = 5  # ai.onnx.ml; TreeEnsemble is read by onnxruntime >= 1.21
LESS_OR_EQUAL = 0
REMEDY = "use Foldstack's own stacker, which fit_stacker writes."


def tree_node(booster, n_features: int, n_classes: int, features: str, scores: str) -> NodeProto:
    """A TreeEnsemble from double (N, n_features) to double (N, n_classes), the raw scores of `booster`.

    Raises FoldstackError for a booster that is not a plain gradient-boosted one of this size, as fit_stacker writes it.
    """
    dump = booster.dump_model()
    _refuse(dump, booster.model_to_string(num_iteration=1), n_features, n_classes)
    trees = _Trees()
    for tree in dump["tree_info"]:
        trees.add(tree["tree_structure"], tree["tree_index"] % n_classes)
    return helper.make_node(
        "TreeEnsemble", [features], [scores], domain="ai.onnx.ml", name=scores, n_targets=n_classes,
        **trees.attributes(),
    )  # fmt: skip


def thresholds(booster) -> list[np.ndarray]:
    """The sorted distinct thresholds of each feature: where a score jumps."""
    dump = booster.dump_model()
    found: list[set] = [set() for _ in range(dump["max_feature_idx"] + 1)]
    nodes = [tree["tree_structure"] for tree in dump["tree_info"]]
    while nodes:
        node = nodes.pop()
        if "threshold" in node:
            found[node["split_feature"]].add(node["threshold"])
            nodes += [node["left_child"], node["right_child"]]
    return [np.array(sorted(values), np.float64) for values in found]


def _refuse(dump: dict, text: str, n_features: int, n_classes: int) -> None:
    """`text` is the model's own format, whose header and parameters contain what the dump leaves out."""
    # The shared form has an objective of our own, of which LightGBM keeps no name.
    objective = dump.get("objective", "")
    expected = ["multiclass"] if n_classes > 1 else []
    reasons = [
        (objective.split()[:1] != expected, f"its objective is {objective!r}"),
        (dump["num_class"] != n_classes or dump["num_tree_per_iteration"] != n_classes, "it is for other classes"),
        (dump["max_feature_idx"] + 1 != n_features, "it reads other meta-features"),
        (dump["average_output"], "it is a random forest, whose trees are averaged"),
        ("\nis_linear=1" in text, "it has linear leaves"),
        ("\n[zero_as_missing: 1]" in text, "it takes zero for a missing value"),
    ]
    for wrong, reason in reasons:
        if wrong:
            raise FoldstackError(f"The stacker cannot be exported: {reason}; {REMEDY}")


class _Trees:
    """Collects the flat lists of a TreeEnsemble."""

    def __init__(self):
        self.roots, self.features, self.splits, self.missing = [], [], [], []
        # (index of node or leaf, is it a leaf)
        self.branches: dict[bool, tuple[list[int], list[int]]] = {True: ([], []), False: ([], [])}
        self.targets, self.weights = [], []

    def add(self, structure: dict, target: int) -> None:
        self.roots.append(len(self.features))
        if "threshold" in structure:
            self._node(structure, target)
            return
        # ONNX has no tree without a split, so make one whose two branches are the same leaf.
        self._split(0, 0.0, False)
        self._branch(len(self.features) - 1, self._leaf(structure["leaf_value"], target), True)

    def _node(self, node: dict, target: int) -> int:
        if node["decision_type"] != "<=" or node["missing_type"] not in ("None", "NaN"):
            kind = f"{node['decision_type']} with missing values as {node['missing_type']}"
            raise FoldstackError(f"The stacker cannot be exported: it splits by {kind}; {REMEDY}")
        # With missing_type None, LightGBM reads NaN as 0.
        missing = node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0
        index = self._split(node["split_feature"], node["threshold"], missing)
        for side, child in ((True, node["left_child"]), (False, node["right_child"])):
            is_leaf = "threshold" not in child
            to = self._leaf(child["leaf_value"], target) if is_leaf else self._node(child, target)
            self._branch(index, to, is_leaf, (side,))
        return index

    def _split(self, feature: int, threshold: float, missing: bool) -> int:
        self.features.append(feature)
        self.splits.append(threshold)
        self.missing.append(int(missing))
        for ids, leaves in self.branches.values():
            ids.append(0)
            leaves.append(0)
        return len(self.features) - 1

    def _leaf(self, value: float, target: int) -> int:
        self.weights.append(value)
        self.targets.append(target)
        return len(self.weights) - 1

    def _branch(self, index: int, to: int, is_leaf: bool, sides=(True, False)) -> None:
        for side in sides:
            self.branches[side][0][index], self.branches[side][1][index] = to, int(is_leaf)

    def attributes(self) -> dict:
        (true_ids, true_leaves), (false_ids, false_leaves) = self.branches[True], self.branches[False]
        return {
            "tree_roots": self.roots,
            "nodes_featureids": self.features,
            "nodes_splits": numpy_helper.from_array(np.array(self.splits, np.float64), "nodes_splits"),
            "nodes_modes": helper.make_tensor("nodes_modes", TensorProto.UINT8, [len(self.splits)],
                                              [LESS_OR_EQUAL] * len(self.splits)),
            "nodes_missing_value_tracks_true": self.missing,
            "nodes_truenodeids": true_ids,
            "nodes_trueleafs": true_leaves,
            "nodes_falsenodeids": false_ids,
            "nodes_falseleafs": false_leaves,
            "leaf_targetids": self.targets,
            "leaf_weights": numpy_helper.from_array(np.array(self.weights, np.float64), "leaf_weights"),
        }  # fmt: skip
