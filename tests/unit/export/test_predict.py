"""foldstack.export.predict, rule predict_new, predict.py: the one file gives what the pipeline gave for the same."""

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import chromium
import fake_nets
import numpy as np
import onnx
import pandas as pd
import pytest
from data_config import section
from fake_runs import run_script
from PIL import Image

import predict_new
import render_browser_page
from foldstack import tables
from foldstack.data import decode as decode_module
from foldstack.data.decode import Geometry, convert, decode
from foldstack.data.formats import source
from foldstack.errors import FoldstackError
from foldstack.export import browser
from foldstack.export.predict import Ensemble

COLUMNS = ["sample_id", "label", "probability", "prob_cat", "prob_dog", "prob_owl"]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return fake_nets.export(
        fake_nets.experiment(tmp_path_factory.mktemp("predict"), size=(30, 22), image_size=[12, 12], fit="pad")
    )


@pytest.fixture(scope="module")
def tool():
    """The module predict.py of the root."""
    spec = importlib.util.spec_from_file_location("predict_tool", ROOT / "predict.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rule(original, root, format, path):
    """Run the rule; returns the tables as written."""
    out = {name: root / f"{name}.csv" for name in ("predictions", "quarantine")}
    out["intake"] = root / "intake.json"
    config = {"predict": section("predict", format=format, path=None if path is None else str(path))}
    run_script(predict_new.main, root, "predict_new", {"onnx": original.ensemble}, out, config=config)
    return [pd.read_csv(path, dtype={"sample_id": str, "label": str}) for path in list(out.values())[:2]]


def command(tool, monkeypatch, *arguments):
    """Type `python predict.py ...`; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, arguments)])
    try:
        return tool.main()
    except SystemExit as stop:
        return stop.code


def pipeline(original, method="lightgbm"):
    """Rows of stack/test.arrow by sample id, without the split's folder."""
    frame = tables.read_predictions(original.stack_test, fake_nets.CLASSES, keys=("method", "sample_id"))
    frame = frame[frame["method"] == method]
    return pd.DataFrame(tables.probabilities(frame), frame["sample_id"].str.removeprefix("test/"), COLUMNS[3:])


def test_a_folder_of_the_test_images_gets_the_pipelines_predictions(original, tmp_path):
    predictions, quarantine = rule(original, tmp_path, "imagefolder", original.images / "test")
    expected = pipeline(original)
    assert list(predictions.columns) == COLUMNS
    assert predictions["sample_id"].tolist() == sorted(expected.index)
    values = predictions.set_index("sample_id")[COLUMNS[3:]]
    np.testing.assert_allclose(values, expected.loc[values.index], atol=1e-5)
    assert values.to_numpy().std(axis=0).min() > 0.01, "a stack that ignores its input proves nothing"
    assert predictions["label"].tolist() == values.idxmax(axis=1).str.removeprefix("prob_").tolist()
    np.testing.assert_allclose(predictions["probability"], values.max(axis=1), atol=1e-6)
    assert list(quarantine.columns) == ["source", "reason"]
    assert quarantine.empty


def test_the_command_writes_the_same_bytes_as_the_rule(original, tool, tmp_path, monkeypatch):
    rule(original, tmp_path, "imagefolder", original.images / "test")
    code = command(
        tool, monkeypatch, original.ensemble, original.images / "test", "-o", tmp_path / "mine.csv", "--batch", 7
    )
    assert code == 0
    found, expected = (pd.read_csv(tmp_path / name) for name in ("mine.csv", "predictions.csv"))
    assert found[COLUMNS[:2]].equals(expected[COLUMNS[:2]])
    np.testing.assert_allclose(found[COLUMNS[2:]], expected[COLUMNS[2:]], atol=1e-6)
    written = ["intake.json", "logs", "mine.csv", "predictions.csv", "quarantine.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == written


def test_an_npz_of_the_test_pixels_gets_the_pipelines_predictions(original, tool, tmp_path, monkeypatch):
    samples = tables.read_samples(original.samples)
    test = samples[samples["split"] == "test"].sample(frac=1, random_state=0)
    pixels = np.load(original.pixels)[test["row"].to_numpy()]
    np.savez(tmp_path / "new.npz", x=pixels, id=test["sample_id"].to_numpy(str))
    assert command(tool, monkeypatch, original.ensemble, tmp_path / "new.npz", "-o", tmp_path / "mine.csv") == 0
    for predictions in (rule(original, tmp_path, "npz", tmp_path / "new.npz")[0], pd.read_csv(tmp_path / "mine.csv")):
        values = predictions.set_index(predictions["sample_id"].str.removeprefix("test/"))[COLUMNS[3:]]
        assert len(values) == len(test)
        np.testing.assert_allclose(values, pipeline(original).loc[values.index], atol=1e-5)


def broken_folder(original, folder):
    for number in range(3):
        Image.open(original.images / "test" / "owl" / f"{number}.png").save(make(folder) / f"{number}.png")
    (folder / "x.png").write_bytes(b"no image")


def make(folder):
    folder.mkdir(exist_ok=True)
    return folder


def test_a_broken_image_is_left_out_named_and_the_rest_is_labelled(original, tool, tmp_path, monkeypatch, capsys):
    broken_folder(original, tmp_path / "new")
    predictions, quarantine = rule(original, tmp_path, "imagefolder", tmp_path / "new")
    assert quarantine["source"].tolist() == ["x.png"]
    expected = pipeline(original)
    expected = expected.loc[[f"owl/{number}.png" for number in range(3)]]
    np.testing.assert_allclose(predictions[COLUMNS[3:]], expected, atol=1e-5)
    capsys.readouterr()
    assert command(tool, monkeypatch, original.ensemble, tmp_path / "new", "-o", tmp_path / "mine.csv") == 0
    assert "skipped x.png: " in capsys.readouterr().err
    np.testing.assert_allclose(pd.read_csv(tmp_path / "mine.csv")[COLUMNS[3:]], expected, atol=1e-5)


def read_rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_globs_csv_top_k_thresholds_and_submissions(original, tool, tmp_path, monkeypatch):
    broken_folder(original, tmp_path / "new")
    (tmp_path / "list.csv").write_text("path\nnew/2.png\nnew/0.png\n")
    out = tmp_path / "out.csv"
    arguments = [original.ensemble, tmp_path / "new" / "[01].png", tmp_path / "list.csv", "-o", out]
    assert command(tool, monkeypatch, *arguments, "--top-k", 2) == 0
    rows = read_rows(out)
    assert [Path(row["sample_id"]).name for row in rows] == ["0.png", "1.png", "2.png", "0.png"]
    for row in rows:
        values = {name: float(row[f"prob_{name}"]) for name in fake_nets.CLASSES}
        first, second = sorted(values, key=values.get, reverse=True)[:2]
        assert (row["label"], row["label_2"]) == (first, second)
        assert float(row["probability_2"]) == values[second]
    limit = np.median([float(row["probability"]) for row in rows])
    assert command(tool, monkeypatch, *arguments, "--submission", "--threshold", limit) == 0
    wanted = [(row["sample_id"], row["label"] if float(row["probability"]) >= limit else "") for row in rows]
    assert [(row["id"], row["label"]) for row in read_rows(out)] == wanted
    assert {label for _, label in wanted} > {""}


def odd_folder(root):
    """New images as they lie on real disks."""
    names = ["a.png", "b.jpg", "chrome.jfif", "scan.j2k", "icon.ico", ".ipynb_checkpoints/a.png", "@eaDir/a.png/t.jpg"]
    for number, name in enumerate([*names, "deep/er/c.webp", "#recycle/d.png", "Thumbs/e.PNG"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        form = {"jfif": "JPEG", "j2k": "JPEG2000"}.get(name.rpartition(".")[2])
        Image.fromarray(fake_nets.random_pixels(1, (12, 12, 3), seed=number)[0]).save(root / name, form)
    (root / "._a.png").write_bytes(b"\0\5\x16\7" + bytes(200))
    (root / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    (root / "notes.txt").write_text("no image")
    (root.parent / "other").mkdir()
    Image.new("RGB", (12, 12), "red").save(root.parent / "other" / "f.png")
    (root / "linked").symlink_to(root.parent / "other", target_is_directory=True)
    (root / "deep" / "loop").symlink_to(root, target_is_directory=True)
    return root


def test_the_command_takes_the_files_that_the_workflow_takes(original, tool, tmp_path, monkeypatch, capsys):
    root = odd_folder(tmp_path / "new")
    assert tool.SUFFIXES == decode_module.SUFFIXES
    assert tool.FORMATS == decode_module.FORMATS
    assert tool.LEFT_BY_PROGRAMS == source.LEFT_BY_PROGRAMS
    assert list(tool.walk(root, [])) == list(source.walk(root))
    predictions, quarantine = rule(original, tmp_path, "imagefolder", root)
    assert quarantine["source"].tolist() == ["IMG_1.HEIC"]
    capsys.readouterr()
    assert command(tool, monkeypatch, original.ensemble, root, "-o", tmp_path / "mine.csv") == 0
    assert sorted(pd.read_csv(tmp_path / "mine.csv")["sample_id"]) == predictions["sample_id"].tolist()
    said = capsys.readouterr().err
    assert "passed over, by suffix: .heic 1, .txt 1, hidden 2, none 2" in said
    assert "pip install -U pillow pillow-heif" in said


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16")])
def test_the_command_reads_the_tables_that_the_workflow_reads(
    original, tool, tmp_path, monkeypatch, delimiter, encoding
):
    (tmp_path / "ünter").mkdir()
    Image.new("RGB", (12, 12), "red").save(tmp_path / "ünter" / "a b.png")
    text = "\r\n".join([delimiter.join(["more", " path"]), delimiter.join(["1", "ünter\\a b.png"]), ""])
    (tmp_path / "new.csv").write_bytes(text.encode(encoding))
    predictions, _ = rule(original, tmp_path, "csv", tmp_path / "new.csv")
    assert command(tool, monkeypatch, original.ensemble, tmp_path / "new.csv", "-o", tmp_path / "mine.csv") == 0
    assert pd.read_csv(tmp_path / "mine.csv")["sample_id"].tolist() == ["ünter/a b.png"]
    assert predictions["sample_id"].tolist() == ["ünter/a b.png"]


@pytest.mark.parametrize("arguments", [["nothing-here"], ["list.txt"], []])
def test_nothing_to_label_ends_with_a_sentence_and_no_file(original, tool, tmp_path, monkeypatch, arguments):
    (tmp_path / "list.txt").write_text("no image")
    inputs = [tmp_path / name for name in arguments]
    assert command(tool, monkeypatch, original.ensemble, *inputs, "-o", tmp_path / "out.csv") not in (0, None)
    assert not list(tmp_path.glob("out.csv*"))


def test_the_self_test_passes_and_fails_for_other_weights(original, tool, tmp_path, monkeypatch):
    assert command(tool, monkeypatch, original.ensemble, "--self-test") == 0
    proto = onnx.load(original.ensemble)
    for tensor in proto.graph.initializer:
        if tensor.name.startswith("model0_") and tensor.data_type == 1 and len(tensor.dims) == 2:
            values = onnx.numpy_helper.to_array(tensor) * np.float32(-1)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(proto, tmp_path / "other.onnx")
    assert command(tool, monkeypatch, tmp_path / "other.onnx", "--self-test") == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_the_command_reads_images_as_the_data_stage_does(tool, tmp_path, mode, fit):
    noise = np.random.default_rng(0).integers(0, 256, (37, 23, 4), dtype=np.uint8)
    image = Image.fromarray(noise, "RGBA")
    if mode == "I;16":
        image = Image.fromarray(noise[..., :2].copy().view(np.uint16)[..., 0])
    else:
        image = image.convert("RGB").convert(mode) if mode in ("1", "P", "CMYK") else image.convert(mode)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    image.save(path, exif=exif)
    model = tool.Model.__new__(tool.Model)
    for channels in (1, 3):
        model.metadata = {"image_size": [12, 9], "channels": channels, "fit": fit}
        np.testing.assert_array_equal(model.read(path), decode(path, Geometry(12, 9, channels, fit)))
    array = noise[..., :3]
    np.testing.assert_array_equal(model.view(array), convert(array[None], Geometry(12, 9, 3, fit))[0])
    if mode == "I;16":
        model.metadata = {"image_size": [12, 9], "channels": 1, "fit": fit, "reading": {"bits": 14}}
        with pytest.raises(ValueError, match="outside 0 to 16383"):
            model.read(path)
        Image.fromarray(np.asarray(image) >> 2).save(path)
        np.testing.assert_array_equal(model.read(path), decode(path, Geometry(12, 9, 1, fit, bits=14)))


def test_the_command_reads_pages_as_the_data_stage_does(tool, tmp_path):
    pages = [Image.fromarray(page) for page in fake_nets.random_pixels(4, (15, 11, 1))[..., 0]]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    model = tool.Model.__new__(tool.Model)
    for reading, channels in (({}, 1), ({"pages": "rgb"}, 3)):
        model.metadata = {"image_size": [12, 9], "channels": channels, "fit": "crop", "reading": reading}
        expected = decode(tmp_path / "a.tif", Geometry(12, 9, channels, "crop", **reading))
        np.testing.assert_array_equal(model.read(tmp_path / "a.tif"), expected)


def test_many_samples_go_through_in_batches(original):
    ensemble = Ensemble(original.ensemble)
    pixels = fake_nets.random_pixels(131, (12, 12, 3))
    whole = ensemble.predict([f"{i:03d}" for i in range(131)], pixels)
    one = pd.concat([ensemble.predict([f"{i:03d}"], pixels[i : i + 1]) for i in (0, 64, 130)])
    np.testing.assert_allclose(one[COLUMNS[3:]], whole.iloc[[0, 64, 130]][COLUMNS[3:]], atol=1e-6)


def test_equal_input_gives_equal_bytes(original, tmp_path):
    contents = []
    for _ in range(2):
        rule(original, tmp_path, "imagefolder", original.images / "test")
        contents.append((tmp_path / "predictions.csv").read_bytes())
    assert contents[0] == contents[1]


def test_nothing_to_predict_is_said_in_a_sentence(original, tmp_path, capfd):
    with pytest.raises(SystemExit):
        rule(original, tmp_path, "imagefolder", None)
    assert "predict.path is not set" in capfd.readouterr().err
    assert not (tmp_path / "predictions.csv").exists()


def test_the_file_of_another_model_is_refused(original, tool, tmp_path, monkeypatch):
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(FoldstackError, match="cannot be opened"):
        Ensemble(tmp_path / "x.onnx")
    assert "not a Foldstack ensemble" in command(tool, monkeypatch, tmp_path / "x.onnx", tmp_path)
    assert "not a Foldstack ensemble" in command(tool, monkeypatch, original.onnx["cnn"], tmp_path)


def test_predict_needs_no_torch_and_the_command_nothing_of_foldstack():
    scripts = Path(predict_new.__file__).parent
    code = "import sys, foldstack.export.predict, foldstack.data.unlabelled; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts, check=False).returncode == 0
    code = (
        "import sys, runpy; runpy.run_path('predict.py'); "
        "sys.exit(bool({'torch', 'onnx', 'pandas', 'lightgbm', 'foldstack'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_weights_beside_the_file_predict_the_same_and_only_with_their_own_file(
    original, tool, tmp_path, monkeypatch, capfd
):
    again = fake_nets.export_beside(original, tmp_path, monkeypatch)
    images = original.images / "test" / "cat"
    for made, name in ((original, "one.csv"), (again, "two.csv")):
        assert command(tool, monkeypatch, made.ensemble, images, "--self-test", "-o", tmp_path / name) == 0
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    with pytest.raises(FoldstackError, match=r"larger than a web page can hold .* use predict\.py"):
        browser.write_page(again.ensemble, tmp_path, tmp_path / "predict.html")
    beside = tmp_path / "export" / "ensemble.onnx.data"
    content = bytearray(beside.read_bytes())
    content[len(content) // 2] ^= 1
    changes = {"of another export": bytes(content), "truncated": bytes(content[: len(content) // 2]), "missing": None}
    for change in changes.values():
        beside.unlink()
        if change is not None:
            beside.write_bytes(change)
        said = command(tool, monkeypatch, again.ensemble, images)
        assert "ensemble.onnx.data" in said
        assert "belongs to another export" in said or "needs its weights beside it" in said
        with pytest.raises(FoldstackError, match=r"ensemble\.onnx\.data.*(another export|must be whole and beside it)"):
            Ensemble(again.ensemble)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """Where the rule keeps onnxruntime-web; skips where it cannot be had."""
    try:
        return browser.install(tmp_path_factory.mktemp("browser"))
    except FoldstackError as error:
        pytest.skip(str(error))


def page(original, runtime, root):
    path = root / "predict.html"
    run_script(
        render_browser_page.main, root, "render_browser_page", {"onnx": original.ensemble}, {"page": path}, work=runtime
    )
    return path


def test_the_page_in_a_browser_gives_what_the_command_gives(original, runtime, tool, tmp_path, monkeypatch):
    if chromium.find() is None:
        pytest.skip("no Chromium here")
    images = tmp_path / "images"
    images.mkdir()
    pixels = fake_nets.random_pixels(4, (31, 17, 4))
    for mode, pixel in zip(("RGB", "RGBA", "L"), pixels, strict=False):
        Image.fromarray(pixel[..., :3]).convert(mode).save(images / f"{mode}.png")
    Image.fromarray(pixels[3, :12, :12, :3]).save(images / "turned.png", exif=turned())
    assert command(tool, monkeypatch, original.ensemble, images, "-o", tmp_path / "out.csv") == 0
    expected = pd.read_csv(tmp_path / "out.csv").set_index("sample_id")
    (images / "broken.png").write_bytes(b"no image")
    path = page(original, runtime, tmp_path)
    with chromium.opened(tmp_path / "profile") as shown:
        shown.call("Page.navigate", url=path.as_uri())
        assert float(shown.wait("document.body && document.body.dataset.selfTest")) < 1e-4
        for name, row in expected.iterrows():
            shown.choose("input", [images / name])
            shown.wait(f"document.querySelector('article img[alt=\"{name}\"]') && 1")
            found = shown.value("({...document.querySelector('article').dataset})")
            assert found["label"] == row["label"]
            np.testing.assert_allclose(json.loads(found["probabilities"]), list(row[COLUMNS[3:]]), atol=1e-6)
        shown.choose("input", [images / "broken.png"])
        assert "broken.png cannot be read" in shown.wait("document.querySelector('#state.warn')?.textContent")


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_the_page_has_the_same_bytes_again_and_connects_to_nothing(original, tmp_path):
    for name in (browser.SCRIPT, browser.WASM):
        (tmp_path / name).write_bytes(b"stands for the runtime </script>")
    (tmp_path / "installed.json").write_bytes((browser.TEMPLATES / "package-lock.json").read_bytes())
    content = page(original, tmp_path, tmp_path).read_bytes()
    assert page(original, tmp_path, tmp_path).read_bytes() == content
    assert str(tmp_path).encode() not in content
    assert b"default-src 'none'" in content
    assert b"connect-src" not in content
    assert content.count(b"</script>") == 5


def test_without_npm_the_page_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FoldstackError, match=r"needs npm.*install Node\.js"):
        browser.install(tmp_path / "work")


def test_a_variant_that_failed_its_gate_gets_no_page(tmp_path):
    (tmp_path / "int8.onnx").touch()
    with pytest.raises(FoldstackError, match="did not pass its gate"):
        browser.write_page(tmp_path / "int8.onnx", tmp_path, tmp_path / "int8.html")
