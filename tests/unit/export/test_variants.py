"""foldstack.export, variants and variant_gate, rules make_variant, verify_variant and compare_variants."""

import json

import fake_nets
import numpy as np
import onnx
import pandas as pd
import pytest
from fake_runs import STACK, run_script
from onnx import numpy_helper

import compare_variants
import make_variant
import verify_variant
from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.export import onnx_file, student, variants
from foldstack.export.session import open_session, run_ensemble
from foldstack.files import read_json, write_json

SUBSETS = [
    {"models": ["vit"], "parameters": 10, "flops": 40, "accuracy": 0.7, "log_loss": 0.9, "high": -0.1},
    {"models": ["cnn"], "parameters": 20, "flops": 30, "accuracy": 0.8, "log_loss": 0.8, "high": 0.0},
    {"models": ["cnn", "vit"], "parameters": 30, "flops": 70, "accuracy": 0.8, "log_loss": 0.7, "high": 0.0},
]
METRICS = {"subsets": [row | {"difference": {"high": row["high"]}} for row in SUBSETS]}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    made = fake_nets.export(fake_nets.experiment(tmp_path_factory.mktemp("variants"), size=(12, 10)))
    write_json(made.metrics, METRICS | {"stack": {"lightgbm": fake_nets.SCORES}})
    return made


def make(original, root, kind, more=(), **settings):
    """Run make_variant; returns the path of the candidate."""
    inputs = fake_nets.inputs_of_ensemble(original) | {"onnx": original.ensemble, "pixels": original.pixels}
    inputs |= {"samples": original.samples}
    for name in ("oof", "test"):
        inputs[name] = [str(path) for path in sorted((original.root / name).glob("*/*.arrow"))]
    inputs |= {"student": []} | dict(more)
    own = {"budget": "parameters", "share": None} | settings
    config = {"variants": own, "stack": STACK, "members": fake_nets.MEMBERS}
    folder = root / f"{kind}-candidate"
    run_script(make_variant.main, root, "make_variant", inputs, {"folder": folder}, {"variant": kind}, config=config)
    return folder / "ensemble.onnx"


def verify(original, root, candidate, full=None, min_agreement=0.0, **changes):
    """Run verify_variant; returns its report and the path of what is passed on."""
    inputs = {"onnx": full or original.ensemble, "candidate": candidate.parent, "samples": original.samples}
    inputs |= {"pixels": original.pixels, "folds": original.folds, "students": []} | changes
    out = {"onnx": root / "variant.onnx", "report": root / "variant.json"}
    config = {"min_agreement": min_agreement, "bootstrap": 100, "seed": 0}
    run_script(verify_variant.main, root, "verify_variant", inputs, out, config=config)
    return read_json(out["report"]), out["onnx"]


def test_fp16_rounds_every_large_constant_once_and_nothing_else(original, tmp_path):
    full, half = (onnx.load(path) for path in (original.ensemble, make(original, tmp_path, "fp16")))
    casts = {
        node.input[0]: node.output[0] for node in half.graph.node if node.input and node.input[0].endswith("_fp16")
    }
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in half.graph.initializer}
    assert len(casts) > 3
    for tensor in full.graph.initializer:
        values = numpy_helper.to_array(tensor)
        large = values.dtype == np.float32 and values.size >= variants.SMALLEST
        found = stored[f"{tensor.name}_fp16"] if large else stored[tensor.name]
        np.testing.assert_array_equal(found, values.astype(np.float16) if large else values)
        assert not large or casts[f"{tensor.name}_fp16"] == tensor.name
    onnx.checker.check_model(half, full_check=True)


@pytest.mark.parametrize("kind", ["fp16", "int8", "pruned"])
def test_a_variant_passes_its_gate_says_what_it_is_and_has_the_same_bytes_again(original, tmp_path, kind):
    candidate = make(original, tmp_path, kind)
    report, path = verify(original, tmp_path, candidate)
    assert (report["passed"], report["part"], report["samples"]) == (True, "test", 24)
    # 8-bit nodes take more room than these tiny networks' weights save
    assert kind == "int8" or report["variant"]["bytes"] < report["full"]["bytes"]
    session, metadata = open_session(path)
    assert metadata["variant"]["kind"] == kind
    assert metadata["scores"]["test"]["accuracy"] == report["variant"]["accuracy"]
    assert metadata["classes"] == fake_nets.CLASSES
    images = fake_nets.random_pixels(5, (30, 22, 3))
    assert run_ensemble(session, images)["probabilities"].shape == (5, 3)
    content = path.read_bytes()
    assert str(tmp_path).encode() not in content
    verify(original, tmp_path, make(original, tmp_path, kind))
    assert path.read_bytes() == content


def test_the_networks_of_fp16_and_int8_stay_near_those_of_the_full_file(original, tmp_path):
    pixels = np.load(original.pixels)
    full = run_ensemble(open_session(original.ensemble)[0], pixels)["fold_probabilities"]
    for kind, near in (("fp16", 0.001), ("int8", 0.05)):  # on average; single rows of random networks lie further off
        found = run_ensemble(open_session(make(original, tmp_path, kind))[0], pixels)["fold_probabilities"]
        assert 0 < np.abs(found - full).mean() < near, kind


@pytest.mark.parametrize("kind", ["fp16", "int8", "pruned"])
def test_a_variant_with_its_weights_beside_it_passes_the_same_gate(original, tmp_path, monkeypatch, kind):
    report, whole = verify(original, tmp_path, make(original, tmp_path, kind))
    monkeypatch.setattr(onnx_file, "LIMIT", 1000)
    beside, path = verify(original, tmp_path, make(original, tmp_path, kind))
    assert onnx_file.data_path(path).exists()
    timed = ("speed", "full", "variant")
    assert {key: beside[key] for key in beside if key not in timed} == {k: report[k] for k in report if k not in timed}
    assert beside["variant"]["bytes"] > path.stat().st_size
    monkeypatch.undo()
    verify(original, tmp_path, make(original, tmp_path, kind))
    assert whole == path
    assert not onnx_file.data_path(path).exists()


def test_a_model_too_large_for_the_tools_of_int8_is_refused_and_fp16_is_named(original, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(variants, "LARGEST", 1000)
    with pytest.raises(SystemExit):
        make(original, tmp_path, "int8")
    assert "fp16 has no such limit" in capfd.readouterr().err


def test_int8_computes_convolutions_and_matrices_with_8_bits(original, tmp_path):
    kinds = {node.op_type for node in onnx.load(make(original, tmp_path, "int8")).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"} <= kinds


def test_pruned_holds_the_chosen_models_under_a_stacker_of_their_own(original, tmp_path):
    path = make(original, tmp_path, "pruned")
    session, metadata = open_session(path)
    assert metadata["models"] == list(metadata["architectures"]) == ["cnn"]
    assert metadata["models"] == ["cnn"]
    pixels = np.load(original.pixels)[:6]
    own = run_ensemble(session, pixels)["fold_probabilities"]
    full = run_ensemble(open_session(original.ensemble)[0], pixels)["fold_probabilities"]
    np.testing.assert_allclose(own[:, 0], full[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("budget", "share", "keep"),
    [
        ("parameters", None, ["cnn"]),
        ("parameters", 0.4, ["vit"]),
        ("flops", 0.5, ["cnn"]),
        ("parameters", 1.0, ["cnn", "vit"]),
        ("flops", 0.01, ["cnn"]),
    ],
)
def test_the_models_to_keep_are_the_most_accurate_within_the_budget(budget, share, keep):
    assert variants.choose_models(METRICS, budget, share) == keep


def test_where_every_model_is_needed_nothing_is_pruned_and_the_table_says_so(original, tmp_path):
    candidate = make(original, tmp_path, "pruned", share=1.0)
    report, path = verify(original, tmp_path, candidate)
    assert report == {"passed": None, "reasons": ["no model can be spared"]}
    assert path.stat().st_size == 0


def test_a_variant_that_labels_otherwise_fails_and_is_not_passed_on(original, tmp_path):
    proto = onnx.load(make(original, tmp_path, "fp16"))
    tensor = next(tensor for tensor in proto.graph.initializer if tensor.name.endswith("_fp16"))
    tensor.CopyFrom(numpy_helper.from_array(-3 * numpy_helper.to_array(tensor), tensor.name))
    for node in [node for node in proto.graph.node if node.output[0] == "of_ensemble"]:
        node.op_type = "ReduceMin"
    (tmp_path / "broken").mkdir()
    onnx.save(proto, tmp_path / "broken" / "ensemble.onnx")
    report, path = verify(original, tmp_path, tmp_path / "broken" / "ensemble.onnx", min_agreement=0.999)
    assert report["passed"] is False
    assert report["agreement"] < 0.999
    assert "variants.min_agreement" in report["reasons"][0]
    assert path.stat().st_size == 0


def test_a_variant_of_other_data_is_refused(original, tmp_path, capfd):
    proto = onnx.load(make(original, tmp_path, "fp16"))
    metadata = json.loads(proto.metadata_props[0].value) | {"data_digest": "other"}
    onnx.helper.set_model_props(proto, {"foldstack": json.dumps(metadata)})
    (tmp_path / "other").mkdir()
    onnx.save(proto, tmp_path / "other" / "ensemble.onnx")
    with pytest.raises(SystemExit):
        verify(original, tmp_path, tmp_path / "other" / "ensemble.onnx")
    assert "differ in data_digest" in capfd.readouterr().err


def test_without_a_test_split_training_samples_are_scored_by_their_own_folds_networks(original, tmp_path):
    samples = pd.read_parquet(original.samples)
    train = samples[samples["split"] == "train"]
    tables.write_samples(train, tmp_path / "samples.parquet")
    candidate = make(original, tmp_path, "fp16")
    report, _ = verify(original, tmp_path, candidate, samples=tmp_path / "samples.parquet")
    train = train.sort_values("sample_id")
    folds = tables.read_folds(original.folds).set_index("sample_id").loc[train["sample_id"], "fold"]
    outputs = run_ensemble(open_session(original.ensemble)[0], np.load(original.pixels)[train["row"]])
    own = outputs["fold_probabilities"].mean(axis=1)[np.arange(len(train)), folds]
    assert report["part"] == "oof"
    assert report["full"]["accuracy"] == pytest.approx(np.mean(own.argmax(axis=1) == train["label"]))


def test_the_table_and_the_figure_show_every_form(original, tmp_path):
    paths = []
    for kind in ("fp16", "pruned"):
        candidate = make(original, tmp_path, kind, share=1.0)
        paths.append(tmp_path / f"{kind}.json")
        write_json(paths[-1], verify(original, tmp_path, candidate)[0])
    out = {"table": tmp_path / "variants.csv", "figure": tmp_path / "variants.svg"}
    run_script(compare_variants.main, tmp_path, "compare_variants", {"reports": paths}, out, config=["fp16", "pruned"])
    table = pd.read_csv(out["table"]).set_index("variant")
    assert list(table.index) == ["full", "fp16", "pruned"]
    assert table.loc["full", "agreement"] == table.loc["full", "speed_1"] == 1
    assert 0 < table.loc["fp16", "size_share"] < 1
    assert table.loc["fp16", "speed_64_low"] <= table.loc["fp16", "speed_64"] <= table.loc["fp16", "speed_64_high"]
    assert table.loc["pruned", "reason"] == "no model can be spared"
    text = out["figure"].read_text()
    assert "fp16" in text
    assert "accuracy (%)" in text


@pytest.fixture(scope="module")
def students(original):
    """run.json of untrained students: of both folds, and of all samples."""
    return [fake_nets.run(original, "cnn", 0, fold, original.root / "student" / f"fold{fold}") for fold in range(3)]


def test_the_student_is_served_like_the_ensemble_and_says_what_it_costs(original, students, tmp_path):
    candidate = make(original, tmp_path, "student", {"student": students[2:]})
    extra = {"students": students[:2], "stack": original.stack_stack, "stack_oof": original.stack_oof}
    report, path = verify(original, tmp_path, candidate, **extra)
    assert report["models"] == ["student"]
    assert report["oof"]["samples"] == 72
    assert report["oof"]["difference"]["low"] <= report["oof"]["difference"]["difference"]
    assert report["oof"]["full_accuracy"] > 0
    written = path if report["passed"] else candidate
    session, metadata = open_session(written)
    assert metadata["architectures"] == {"student": "small_cnn"}
    assert metadata["variant"]["kind"] == "student"
    assert "that were not fitted on it" in metadata["protocol"]
    shapes = {value.name for value in onnx.load(written).graph.output}
    assert shapes == {value.name for value in onnx.load(original.ensemble).graph.output}
    samples, pixels = tables.read_samples(original.samples), np.load(original.pixels)
    test = tables.read_predictions(original.root / "student" / "fold2" / "test.arrow", fake_nets.CLASSES)
    rows = samples.set_index("sample_id").loc[test["sample_id"], "row"]
    found = run_ensemble(session, pixels[rows])["probabilities"]
    np.testing.assert_allclose(found, tables.probabilities(test), atol=1e-5)


def test_without_a_test_split_the_students_own_folds_are_scored(original, students, tmp_path):
    samples = tables.read_samples(original.samples)
    train = samples[samples["split"] == "train"]
    tables.write_samples(train, tmp_path / "samples.parquet")
    candidate = make(original, tmp_path, "student", {"student": students[2:]})
    extra = {"students": students[:2], "stack": original.stack_stack, "stack_oof": original.stack_oof}
    report, _ = verify(original, tmp_path, candidate, samples=tmp_path / "samples.parquet", **extra)
    assert report["part"] == "oof"
    assert report["variant"]["accuracy"] == report["oof"]["accuracy"]


def test_a_student_that_learned_from_what_it_predicts_is_refused(original, students, tmp_path):
    folds = tables.read_folds(original.folds)
    ids, runs = sorted(folds["sample_id"]), students[:2]
    assert student.collect_oof(runs, folds, ids, fake_nets.CLASSES).shape == (72, 3)
    with pytest.raises(FoldstackError, match="each training sample once"):
        student.collect_oof(runs[:1], folds, ids, fake_nets.CLASSES)
    path = tmp_path / "run.json"
    write_json(path, read_json(runs[0]) | {"train_ids": tables.ids_digest(ids)})
    with pytest.raises(FoldstackError, match="train_ids is not the digest of what fold 0 allows"):
        student.collect_oof([path], folds, ids, fake_nets.CLASSES)


def test_a_student_of_other_data_is_refused(original, students, tmp_path, capfd):
    path = tmp_path / "run.json"
    write_json(path, read_json(students[2]) | {"folds_digest": "other"})
    with pytest.raises(SystemExit):
        make(original, tmp_path, "student", {"student": [path]})
    assert "run.json was made from other folds than the current ones" in capfd.readouterr().err
