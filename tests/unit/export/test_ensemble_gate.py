"""foldstack.export, ensemble and ensemble_gate, with their rules export_ensemble and verify_ensemble."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import fake_nets
import lightgbm
import numpy as np
import onnx
import pytest
from fake_runs import run_script
from onnx import numpy_helper

import export_ensemble
import verify_ensemble
from foldstack.ensemble import shared, stacking
from foldstack.errors import FoldstackError
from foldstack.export import ensemble
from foldstack.export.onnx_file import data_path
from foldstack.export.session import open_session, read_metadata, run_ensemble
from foldstack.files import read_json, sha256_of, write_json

CONFIG = {"export": {"tolerance": 1e-5, "samples": 256}, "members": fake_nets.MEMBERS}
LICENCE = "CC-BY-4.0"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return fake_nets.export(fake_nets.experiment(tmp_path_factory.mktemp("gate"), size=(12, 10)))


def verify(original, root, onnx_path, config=CONFIG, **changes):
    """Run the rule on a file; returns its report."""
    inputs = fake_nets.inputs_of_ensemble(original) | {"onnx": onnx_path, "stack_test": original.stack_test}
    inputs |= {"samples": original.samples, "pixels": original.pixels, "folds": original.folds}
    for kind in ("oof", "test"):
        inputs[kind] = [str(path) for path in sorted((original.root / kind).glob("*/*.arrow"))]
    report = root / "parity.json"
    run_script(verify_ensemble.main, root, "verify_ensemble", inputs | changes, {"parity": report}, config=config)
    return read_json(report)


@pytest.fixture
def broken(original, tmp_path, capfd):
    """Change the file by a function of its ModelProto and run the gate; gives the last line of its log."""

    def run(change):
        proto = onnx.load(original.ensemble)
        change(proto)
        onnx.save(proto, tmp_path / "ensemble.onnx")
        with pytest.raises(SystemExit):
            verify(original, tmp_path, tmp_path / "ensemble.onnx")
        assert not (tmp_path / "parity.json").exists()
        return capfd.readouterr().err.splitlines()[-1]

    return run


def test_an_honest_file_passes_and_the_report_says_by_how_much(original, tmp_path):
    report = verify(original, tmp_path, original.ensemble)
    assert report["passed"] is True
    assert report["samples"] == 24
    assert report["pipeline"]["label_flips"] == report["label_flips"] == 0
    assert report["pipeline"]["threshold_rows"] == report["threshold_rows"] == 0
    assert 0 < report["pipeline"]["members_max_abs_difference"] <= 1e-5
    assert report["pipeline"]["max_abs_difference"] <= 1e-6
    assert report["trees"]["rows"] > 100
    assert report["trees"]["max_abs_difference"] <= 1e-14
    assert report["resize"]["max_pixel_difference"] == 0
    assert len(report["resize"]["sizes"]) == 5
    assert report["batches"] == [1, 2, 7]


def test_the_file_says_what_it_takes_and_gives(original):
    proto = onnx.load(original.ensemble)
    onnx.checker.check_model(proto, full_check=True)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {
        "image": ["batch", "height", "width", 3],
        "probabilities": ["batch", 3],
        "label": ["batch"],
        "class_name": ["batch"],
        "model_probabilities": ["batch", 2, 3],
        "mean_probabilities": ["batch", 3],
        "fold_probabilities": ["batch", 2, 2, 3],
        "classes": [3],
    }
    session, metadata = open_session(original.ensemble)
    outputs = run_ensemble(session, fake_nets.random_pixels(9, (12, 10, 3)))
    assert [fake_nets.CLASSES[label] for label in outputs["label"]] == list(outputs["class_name"])
    assert (outputs["probabilities"].argmax(axis=1) == outputs["label"]).all()
    np.testing.assert_allclose(outputs["fold_probabilities"].mean(axis=2), outputs["model_probabilities"], atol=1e-6)
    np.testing.assert_allclose(outputs["model_probabilities"].mean(axis=1), outputs["mean_probabilities"], atol=1e-6)
    classes = session.run(["classes"], {"image": np.zeros((1, 12, 10, 3), np.uint8)})[0]
    assert list(classes) == fake_nets.CLASSES == metadata["classes"]
    assert metadata["seeds"] == fake_nets.MEMBERS
    assert metadata["scores"] == {"oof": {"accuracy": 0.5, "accuracy_low": 0.4}, "test": {"accuracy": 0.4}}
    assert metadata["licence"] == LICENCE
    assert metadata["architectures"] == {"cnn": "small_cnn", "vit": "small_vit"}
    assert {"protocol", "input", "config_digest", "code_digest", "data_digest", "versions", "golden"} <= set(metadata)


def test_two_exports_have_the_same_bytes_in_any_order_of_files_and_no_local_path(original, tmp_path):
    inputs = fake_nets.inputs_of_ensemble(original)
    inputs |= {"models": inputs["models"][::-1], "runs": inputs["runs"][::-1]}
    run_script(
        export_ensemble.main, tmp_path, "export_ensemble", inputs, {"onnx": tmp_path / "again.onnx"}, config=LICENCE
    )
    content = original.ensemble.read_bytes()
    assert (tmp_path / "again.onnx").read_bytes() == content
    for name in (str(original.root), str(ensemble.__file__), "site-packages", ".parquet", ".arrow"):
        assert name.encode() not in content


def perturb(name, change):
    def apply(proto):
        matrices = [
            t for t in proto.graph.initializer if t.name.startswith(name) and t.data_type == 1 and len(t.dims) > 1
        ]
        tensor = matrices[-1]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(change), tensor.name))

    return apply


def trees_of(proto):
    return next(node for node in proto.graph.node if node.op_type == "TreeEnsemble")


def perturb_trees(attribute, change):
    def apply(proto):
        found = next(item for item in trees_of(proto).attribute if item.name == attribute)
        values = numpy_helper.to_array(found.t).copy()
        values[0] = change(values[0])
        found.t.CopyFrom(numpy_helper.from_array(values, found.t.name))

    return apply


def constant(name, value):
    def apply(proto):
        nodes = list(proto.graph.node)
        nodes += [n for node in nodes for a in node.attribute for n in a.g.node]
        node = next(node for node in nodes if node.output[0] == name)
        old = node.attribute[0].t
        old.CopyFrom(numpy_helper.from_array(np.asarray(value, numpy_helper.to_array(old).dtype), old.name))

    return apply


def swap_classes(proto):
    names = next(t for t in proto.graph.initializer if t.name == "class_names")
    names.string_data[0], names.string_data[1] = names.string_data[1], names.string_data[0]


def mean_as_result(proto):
    """The graph gives the plain mean where the stack belongs."""
    for node in proto.graph.node:
        if node.output[0] in ("probabilities", "label"):
            node.input[0] = "of_mean"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (perturb("model0_", 1.1), "its members differ"),
        (perturb("model1_", 1.1), "its members differ"),
        (perturb_trees("leaf_weights", lambda value: value + 0.01), "differ"),
        (perturb_trees("nodes_splits", lambda value: np.nextafter(value, np.inf)), "its raw scores differ"),
        (constant("floor", 0.01), "differ"),
        (constant("minus_half", -0.75), "fits images of other sizes otherwise"),
        (swap_classes, "labels or class names"),
        (mean_as_result, "its probabilities differ"),
    ],
    ids=["network", "other network", "leaf", "threshold by one bit", "floor", "resize", "classes", "mean"],
)
def test_a_broken_graph_fails(broken, change, reason):
    assert reason in broken(change)


def test_another_golden_sample_fails(broken):
    def change(proto):
        metadata = json.loads(proto.metadata_props[0].value)
        metadata["golden"]["probabilities"][0][0] += 0.01
        proto.metadata_props[0].value = json.dumps(metadata)

    assert "golden" in broken(change)


def test_predictions_of_another_pipeline_fail(original, tmp_path, capfd):
    shutil.copytree(original.root / "test", tmp_path / "test")
    shutil.copy(tmp_path / "test" / "cnn" / "seed3.arrow", tmp_path / "test" / "cnn" / "seed0.arrow")
    tables = [str(path) for path in sorted((tmp_path / "test").glob("*/*.arrow"))]
    with pytest.raises(SystemExit):
        verify(original, tmp_path, original.ensemble, test=tables)
    assert "the pipeline's own predictions" in capfd.readouterr().err


def test_without_a_test_split_each_network_is_held_against_its_own_fold(tmp_path, capfd):
    whole = tmp_path / "whole"
    made = fake_nets.experiment(whole, path=str(whole / "new" / "train"), test_fraction=0)
    fake_nets.export(made)
    report = verify(made, tmp_path, made.ensemble)
    assert report["samples"] == 72
    assert report["pipeline"]["part"] == "oof"
    assert 0 < report["pipeline"]["members_max_abs_difference"] <= 1e-5
    shutil.copy(whole / "oof" / "cnn" / "seed3.arrow", whole / "oof" / "cnn" / "seed0.arrow")
    with pytest.raises(SystemExit):
        verify(made, tmp_path, made.ensemble)
    assert "the pipeline's own predictions" in capfd.readouterr().err


def test_the_tolerance_of_the_config_decides(original, tmp_path, capfd):
    with pytest.raises(SystemExit):
        verify(original, tmp_path, original.ensemble, config=CONFIG | {"export": {"tolerance": 1e-12, "samples": 9}})
    assert "see export.tolerance" in capfd.readouterr().err


def parts(original):
    booster = lightgbm.Booster(model_file=str(original.stack_stacker))
    return list(original.onnx.values()), booster, read_json(original.stack_stack), read_json(original.dataset)


def test_parts_that_do_not_belong_together_are_refused(original, tmp_path):
    models, booster, stack, dataset = parts(original)
    out = tmp_path / "x.onnx"
    with pytest.raises(FoldstackError, match="made from other data"):
        ensemble.export_ensemble(models, booster, stack, dataset | {"digest": "else"}, {}, out)
    with pytest.raises(FoldstackError, match=r"models \['cnn', 'vit'\], but 1 files hold"):
        ensemble.export_ensemble(models[:1], booster, stack, dataset, {}, out)
    with pytest.raises(FoldstackError, match="different runs: n_splits"):
        ensemble.export_ensemble(models, booster, stack | {"n_splits": 3}, dataset, {}, out)
    with pytest.raises(FoldstackError, match="different runs: folds_digest"):
        ensemble.export_ensemble(models, booster, stack | {"folds_digest": "x"}, dataset, {}, out)
    assert not out.exists()


def test_weights_beside_the_file_pass_the_same_gate(original, tmp_path, monkeypatch):
    again = fake_nets.export_beside(original, tmp_path, monkeypatch)
    for path in (again.ensemble, *map(Path, again.onnx.values())):
        assert path.stat().st_size < data_path(path).stat().st_size
        stored = read_metadata(path)["data"]
        assert stored == {"file": data_path(path).name, "bytes": data_path(path).stat().st_size,
                          "sha256": sha256_of(data_path(path))}  # fmt: skip
    files = SimpleNamespace(**vars(again) | {"root": original.root})
    assert verify(files, tmp_path, again.ensemble) == verify(original, tmp_path, original.ensemble)
    monkeypatch.undo()
    fake_nets.export(again)  # as one file again, where nothing is left of the second
    assert again.ensemble.read_bytes() == original.ensemble.read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*.onnx*")) == sorted(
        ["ensemble.onnx", *(f"{model}.onnx" for model in again.onnx), *(f"{model}.onnx" for model in again.onnx)]
    )


def test_digests_follow_config_and_code_but_not_times(original):
    records = [read_json(path) for path in original.runs["cnn"]]
    stack, metrics = read_json(original.stack_stack), read_json(original.metrics)
    first = ensemble.describe(records, stack, metrics, None)
    later = ensemble.describe([record | {"seconds": 9.0} for record in records[::-1]], stack, metrics, None)
    assert later == first
    edited = [record | {"code_digest": "1"} for record in records]
    assert ensemble.describe(edited, stack, metrics, None)["code_digest"] != first["code_digest"]
    edited = [record | {"config": record["config"] | {"epochs": 9}} for record in records]
    assert ensemble.describe(edited, stack, metrics, None)["config_digest"] != first["config_digest"]
    write_json(original.root / "unused.json", first)  # all of it can be stored


@pytest.mark.parametrize("method", ["best_single", "mean", "greedy", "pool", "logistic"])
def test_every_other_method_is_deployed_as_it_is_scored(original, tmp_path, method):
    stack = tmp_path / "stack.json"
    write_json(stack, read_json(original.stack_stack) | {"method": method})
    metrics = tmp_path / "metrics.json"
    write_json(metrics, {key: {method: fake_nets.SCORES} for key in ("blend", "stack")})
    inputs = fake_nets.inputs_of_ensemble(original) | {"stack": stack, "metrics": metrics}
    run_script(
        export_ensemble.main, tmp_path, "export_ensemble", inputs, {"onnx": tmp_path / "ensemble.onnx"}, config=LICENCE
    )
    report = verify(original, tmp_path, tmp_path / "ensemble.onnx", stack=stack)
    assert report["passed"]
    assert report["pipeline"]["max_abs_difference"] <= 1e-5
    assert "trees" not in report


def test_the_form_of_many_classes_is_deployed_as_it_is_scored(tmp_path, monkeypatch):
    """A gate that counts every sample; candidates that only one model has, and classes that no model has as one."""
    monkeypatch.setattr(stacking, "PER_CLASS", 2)
    monkeypatch.setattr(shared, "LEADING", 1)
    made = fake_nets.export(fake_nets.experiment(tmp_path / "made", size=(12, 10)))
    stack = read_json(made.stack_stack)
    assert (stack["form"], "logistic" in stack["methods"]) == ("shared", False)
    report = verify(made, tmp_path, made.ensemble)
    assert report["passed"]
    assert report["trees"]["rows"] > 50
    assert report["pipeline"]["max_abs_difference"] <= 1e-5
    assert report["threshold_rows"] == 0
    proto = onnx.load(made.ensemble)
    counts = next(tensor for tensor in proto.graph.initializer if tensor.name == "confusions")
    counts.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(counts)[::-1].copy(), "confusions"))
    onnx.save(proto, tmp_path / "broken.onnx")
    with pytest.raises(SystemExit):
        verify(made, tmp_path, tmp_path / "broken.onnx")
