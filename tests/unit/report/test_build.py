"""The report on one page, and its parts: complete, self-contained, and right about what it counts."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import chromium
import fake_report
import numpy as np
import pandas as pd
import pytest
from fake_evaluation import MADE_UP
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

import render_report
from foldstack.ensemble.members import Members
from foldstack.errors import FoldstackError
from foldstack.evaluation import factors, retrieval, stages
from foldstack.evaluation.metrics import METRICS, outcome
from foldstack.evaluation.prediction import Prediction
from foldstack.files import read_json
from foldstack.probabilities import log_probabilities
from foldstack.report import build, mistakes, pictures, text
from foldstack.report.figures import calibration, confusion
from foldstack.report.leaderboard import read_leaderboard
from foldstack.report.protocol import protocol_diagram

ODD = ["<b>&\"'", "日本語", "$x^2$"]
VOID = {"meta", "img", "br", "input", "link", "path", "rect", "use", "image", "stop"}
CHANGE = {"difference": -0.01, "low": -0.02, "high": 0.001}
RUN = {
    "config": {"selection": "inner"}, "seconds": 12.0, "peak_memory_mb": 512.0, "epochs_run": 3, "parameters": 1000,
    "flops": 2_000_000, "device": "cpu", "versions": {"torch": "2"}, "code": ["foldstack/losses.py@abc"],
}  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

LEVEL = {"grid": "ab", "factor": "lr", "baseline": "0.1", "pairs": 2, "accuracy": 0.8, "log_loss": 0.5}
CHANGED = {"accuracy_difference": -0.012, "accuracy_low": -0.02, "accuracy_high": 0.001}
CHANGED |= {"log_loss_difference": 0.25, "log_loss_low": 0.2, "log_loss_high": 0.3}
RETRIEVAL = ["<b>clip", "test", "text_to_image", 9, 1200.0, 0.1, 0.09, 0.11, 0.5, 0.4, 0.6, 0.7, 0.6, 0.8, 4.5]
STAGE = {"single_oof": 0.8, "single_oof_low": 0.78, "single_oof_high": 0.82}
STAGE |= {"single_test": 0.81, "single_test_low": 0.79, "single_test_high": 0.83}
STAGES = [
    STAGE | {"stage": "first", "added": "a b", "models": 2, "best_single": "small_cnn", "stack_own_rows": 0.99,
             "stack_oof": 0.85, "stack_oof_low": 0.83, "stack_oof_high": 0.87},
    STAGE | {"stage": "<b>last", "added": "c", "models": 3, "best_single": "resnet18", "stack_own_rows": 0.995,
             "stack_oof": 0.86, "stack_oof_low": 0.84, "stack_oof_high": 0.88,
             "gain": 0.01, "gain_low": 0.005, "gain_high": 0.015},
]  # fmt: skip
INTAKE = {
    "unit": "files", "found": 1234, "taken": 1200, "passed_over": 30, "quarantined": 4,
    "by_suffix": {".png": {"taken": 1200, "passed_over": 0, "quarantined": 4}},
    "why_passed_over": [{"reason": "not an image (.txt)", "count": 30, "first": "<b>.txt"}],
    "why_quarantined": [{"reason": "the file is empty", "count": 4, "first": "a/&.png"}],
    "columns": {"path": "<i>", "label": ["cat", "dog"]}, "unused": ["<u>"], "notes": ["Look <here>."],
    "facts": ["a.csv: tab."], "groups": {"groups": 3, "samples": 9}, "splits": {"test_from": "cut off here"},
}  # fmt: skip
FACTORS = [LEVEL | {"level": "0.1"}, LEVEL | CHANGED | {"level": "<b>0.2"}, LEVEL | {"level": "0.3", "pairs": 0}]


class Page(HTMLParser):
    """A page's tags, the cells of each table's rows, references, and whether every element is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.references, self.alternatives, self.tables = [], [], [], [], []
        self.words = ""
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.references += [values[key] for key in ("src", "href", "xlink:href", "srcset", "data") if key in values]
        if tag == "img":
            self.alternatives.append(values.get("alt"))
        if tag == "svg":
            self.alternatives.append(values.get("aria-label") if values.get("role") == "img" else None)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append(0)
        if tag in ("td", "th"):
            self.tables[-1][-1] += int(values.get("colspan", 1))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += " " + data


def made(root, classes=("cat", "dog", "owl"), groups=None, **changes):
    """The report of a made-up experiment; `changes` are of metrics.json."""
    samples, dataset = fake_report.write_data(root, list(classes), 30)
    fake_report.write_evaluation(root, samples, dataset)
    samples["group"] = groups(samples) if groups else None
    dataset |= {"duplicates": {"train": 1, "train_test": 0}, "near_duplicates": {"train": 0, "train_test": 2}}
    dataset |= {"two_labels": {"identical": 1, "near": 2, "pairs": [["a", "b"]]}}
    metrics = (
        read_json(root / "evaluation/metrics.json")
        | dataset
        | {"n_splits": 3, "left_out": [], "cautions": []}
        | changes
    )
    removed = {"difference": CHANGE} | {"mean_without": {"accuracy": CHANGE}, "greedy_without": {"accuracy": CHANGE}}
    metrics["contribution"] = {name: {"weight": 0.5, "importance": None} | removed for name in fake_report.MODELS}
    metrics["findings"] = {"worth": {"text": "Second."}, "simplest": {"text": "First, `mean`."}}
    metrics["proof"] = {"data_digest": "d1", "folds_digest": "f1", "members": {"small_cnn/0": "m1"}}
    train = samples[samples["split"] == "train"]
    members = fake_members(train, dataset["classes"])
    confusion.draw_confusion(metrics, root / "confusion.svg")
    calibration.draw_calibration(metrics, root / "calibration.svg")
    figures = {
        name: pictures.inline_svg(root / f"{'calibration' if name == 'calibration' else 'confusion'}.svg", f"{name}-")
        for name in ("leaderboard", "confusion", "calibration", "pareto", "learning_curves", "timings", "folds",
                     "class_counts", "contact_sheet", "duplicates", "stages")
    }  # fmt: skip
    return build.report(
        board=read_leaderboard(root / "evaluation/leaderboard.csv"),
        metrics=metrics,
        members=members,
        deployed_oof=Prediction([members.oof["small_cnn", 0]]),
        samples=samples,
        pixels=np.load(root / "data/pixels.npy"),
        dataset=dataset | {"quarantined": 4},
        intake=INTAKE,
        folds={"strategy": "stratified_group", "components": len(train)},
        runs=[RUN | {"model": model, "seed": 0, "fold": fold} for model in fake_report.MODELS for fold in range(3)],
        config={"experiment": "made up", "models": {"small_cnn": {"epochs": 3}}},
        figures=figures,
        factors=pd.DataFrame(FACTORS, columns=factors.COLUMNS),
        retrieval=pd.DataFrame([RETRIEVAL], columns=retrieval.COLUMNS) if groups else None,
        stages=pd.DataFrame(STAGES, columns=stages.COLUMNS) if groups else None,
    )


def test_the_account_of_the_data_is_shown_and_escaped(tmp_path):
    html = made(tmp_path)
    words = " ".join(Page(html).words.split())
    for wanted in (
        "Of 1,234 files 1,200 were taken, 30 passed over and 4 left out as unusable.",
        "9 samples form 3 groups. The test split is cut off here.",
        "Look <here>.", "<b>.txt", "a/&.png", "path: <i>; label: cat, dog", "<u>", "a.csv: tab.",
        "3 show one image under two labels; they come first.",
        "CAUTION: 1 identical and 2 nearly equal images have two labels (a and b)",
    ):  # fmt: skip
        assert wanted in words, wanted


def fake_members(train, classes, models=tuple(fake_report.MODELS)):
    rng = np.random.default_rng(3)
    labels = train["label"].to_numpy()
    oof = {(model, 0): log_probabilities(fake_report._probabilities(rng, labels, 0.8, classes)) for model in models}
    return Members(
        seeds={model: [0] for model in models}, classes=list(classes), sample_ids=train["sample_id"].to_numpy(),
        folds=np.arange(len(train)) % 3, labels=labels,
        test_ids=np.array([]), test_labels=np.array([]), oof=oof, test={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    return made(tmp_path_factory.mktemp("report"), groups=lambda samples: [f"patient {i % 4}" for i in samples["row"]])


def test_every_section_is_there_once_in_order_and_linked(html):
    page = Page(html)
    sections = [name for name in page.ids if name in text.SECTIONS]
    assert sections == list(text.SECTIONS)
    assert [f"#{name}" for name in text.SECTIONS] == [link for link in page.references if link[1:] in text.SECTIONS]
    assert page.words.index("First,") < page.words.index("Second.")
    assert "2 of nearly equal images occur in both training and test data" in " ".join(page.words.split())


def test_factors_show_their_changes_and_what_they_are_measured_against(html):
    words = " ".join(Page(html).words.split())
    assert "ab · lr = 0.1 2 80.00 baseline 0.5000 baseline" in words
    assert "ab · lr = <b>0.2 2 80.00 -1.20 [-2.00, +0.10] 0.5000 +0.2500 [+0.2000, +0.3000]" in words
    assert "ab · lr = 0.3 0 – – – –" in words


def test_a_new_metric_is_a_column(tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, MADE_UP.name, MADE_UP)
    words = Page(made(tmp_path)).words
    board = read_leaderboard(tmp_path / "evaluation/leaderboard.csv")
    assert words.count("Made-up metric ") >= 2, "out of fold and on the test split"
    assert f"{100 * board['test_made_up'].iloc[0]:.2f}" in words


def test_retrieval_is_shown_in_percent(html):
    words = " ".join(Page(html).words.split())
    assert "<b>clip test split the image 1,200 10.0 [9.0, 11.0] 50.0 [40.0, 60.0] 70.0 [60.0, 80.0] 4.5" in words


def test_stages_show_what_is_claimed_beside_what_it_is_worth(html):
    words = " ".join(Page(html).words.split())
    assert "first 2 small_cnn 80.00 [78.0, 82.0] 99.00 85.00 [83.0, 87.0] – –" in words
    assert "<b>last 3 resnet18 80.00 [78.0, 82.0] 99.50 86.00 [84.0, 88.0] –" in words
    assert "+1.00 [+0.50, +1.50]" in words


def test_the_page_refers_to_nothing_outside(html):
    page = Page(html)
    assert page.references
    assert not [link for link in page.references if not link.startswith(("#", "data:image/png;base64,"))]
    before, _, scripts = html.partition('<script type="text/plain" id="datatables">')
    assert scripts.count("</script>") == 2
    assert not re.search(r"url\((?!#)|@import|\son\w+=|<!DOCTYPE svg", before)
    assert {link[1:] for link in page.references if link.startswith("#")} <= set(page.ids)


@pytest.mark.skipif(not CHROMIUM, reason="needs chromium")
def test_a_browser_sorts_its_tables_without_a_complaint(tmp_path, html):
    click = """<script type="module">
addEventListener("error", (error) => document.body.append(`complaint: ${error.message}`));
const table = document.querySelector("table.sortable");
while (!table.matches(".dataTable")) await new Promise((done) => setTimeout(done, 20));
[...table.tHead.rows[1].cells].at(4).click();
setTimeout(() => document.body.append([...table.tBodies[0].rows].map((row) => row.cells[4].innerText).join(" ")), 500);
</script></body>"""
    (tmp_path / "page.html").write_text(html.replace("</body>", click), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    command += ["--window-size=1280,900", f"--user-data-dir={tmp_path / 'profile'}", str(tmp_path / "page.html")]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    losses = [float(value) for value in shown.rpartition("</script>")[2].partition("</body>")[0].split()]
    assert len(losses) > 3
    assert losses == sorted(losses)


def test_ids_are_unique_though_one_figure_stands_in_it_several_times(html):
    ids = Page(html).ids
    assert len(ids) == len(set(ids))


def test_every_picture_has_a_text_alternative(html):
    alternatives = Page(html).alternatives
    assert len(alternatives) > 10
    assert all(alternatives)


def test_all_rows_of_a_table_have_the_same_width(html):
    tables = Page(html).tables
    assert len(tables) >= 8
    for rows in tables:
        assert rows
        assert len(set(rows)) == 1, rows


def test_equal_input_gives_equal_bytes(tmp_path, html):
    groups = lambda samples: [f"patient {i % 4}" for i in samples["row"]]  # noqa: E731
    assert made(tmp_path / "again", groups=groups) == html


def test_odd_names_are_escaped_and_groups_are_optional(tmp_path):
    page = Page(made(tmp_path, classes=ODD))
    assert ODD[0] in page.words
    assert "b" not in page.open
    assert "Group by group" not in page.words
    assert "Images and captions" not in page.words


@pytest.fixture(scope="module")
def of_many(tmp_path_factory):
    """The report of 120 classes, of which every two that follow each other are confused."""
    names = [f"</script> {i}" if i == 7 else f"class {i}" for i in range(120)]
    return made(tmp_path_factory.mktemp("many"), classes=names)


def test_many_classes_get_a_map_and_a_table_of_pairs(of_many):
    page = Page(of_many)
    assert "confusion-map" in page.ids
    assert "The most confused pairs" in page.words
    assert of_many.count('id="confusion-1"') == 0, "the figure with names is for few classes"
    text = of_many.partition('id="confusion-cells">')[2].partition("</script>")[0]
    found = json.loads(text)
    assert found["classes"][7] == "</script> 7"
    assert sorted(found["order"]) == list(range(120))
    assert sum(found["totals"]) == sum(found["cells"]["count"])


@pytest.mark.skipif(not CHROMIUM, reason="needs chromium")
def test_a_browser_pages_filters_and_zooms(tmp_path, of_many):
    (tmp_path / "page.html").write_text(of_many, encoding="utf-8")
    with chromium.opened(tmp_path / "profile") as page:
        page.call("Page.navigate", url=(tmp_path / "page.html").as_uri())
        rows = "document.querySelectorAll('#mistakes .tables table.dataTable tbody tr').length"
        assert page.wait(rows) == 25
        page.value(
            "{ const box = document.querySelector('#mistakes .tables .dt-search input'); box.value = 'class 11';"
            " box.dispatchEvent(new Event('input', { bubbles: true })); }"
        )
        assert page.wait(f"{rows} < 25 && {rows}") >= 11  # class 11, 110 to 119, and those taken for them
        width = "document.querySelector('#confusion-map img').width"
        before = page.wait(width)
        page.value("document.querySelectorAll('#confusion-map button')[1].click()")
        assert page.value(width) == 2 * before
        page.value(
            "{ const image = document.querySelector('#confusion-map img'), at = image.getBoundingClientRect();"
            " const event = { clientX: at.left + 3, clientY: at.top + 3 };"
            " image.dispatchEvent(new PointerEvent('pointermove', event)); }"
        )
        words = page.value("document.querySelector('#confusion-map output').textContent")
    cells = json.loads(of_many.partition('id="confusion-cells">')[2].partition("</script>")[0])
    first = cells["order"][0]
    assert words.startswith(f"{cells['classes'][first]}: ")
    assert f" of {cells['totals'][first]} right" in words


def test_thresholds_of_each_class_are_shown_where_there_are_some(tmp_path, html):
    assert "Thresholds by class" not in html
    outcome = {"precision": 0.96, "recall": 0.5, "chosen": 1234}
    rows = [{"class": "<i>", "threshold": 0.75, "oof": outcome, "test": outcome}]
    none = dict.fromkeys(outcome)
    rows += [{"class": "dog", "threshold": None, "oof": none, "test": none}]
    target = {"precision": 0.95, "recall": None}
    words = " ".join(Page(made(tmp_path, thresholds=rows, threshold_target=target)).words.split())
    assert "for precision 95 %, chosen on" in words
    assert "<i> 0.7500 96.0 50.0 1,234 96.0 50.0 1,234 dog none – – – – – –" in words


def test_the_most_confident_mistakes_come_first_and_only_mistakes():
    samples, _ = frame(6)
    labels = np.array([0, 0, 0, 1, 1, 1])
    values = np.array([[0.9, 0.1], [0.3, 0.7], [0.01, 0.99], [0.1, 0.9], [0.6, 0.4], [0.99, 0.01]])
    found = mistakes.most_confident(outcome(labels, values, []), samples, np.zeros((6, 8, 8, 1), np.uint8), ["a", "b"])
    assert [row["sample_id"] for row in found] == ["s2", "s5", "s1", "s4"]
    assert (found[0]["true"], found[0]["predicted"], found[0]["confidence"]) == ("a", "b", 0.99)
    assert found[0]["picture"].startswith("data:image/png;base64,")


def frame(n):
    samples = pd.DataFrame({"sample_id": [f"s{i}" for i in range(n)], "source": "x", "row": range(n)})
    return samples, np.zeros((n, 8, 8, 1), np.uint8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_correlation_of_errors_is_the_matthews_coefficient(seed, models):
    rng = np.random.default_rng(seed)
    names = [f"m{i}" for i in range(models)]
    train = pd.DataFrame({"sample_id": [f"s{i}" for i in range(40)], "label": rng.integers(0, 3, 40)})
    members = fake_members(train, ["a", "b", "c"], names)
    for name in names:
        members.oof[name, 0][:] = rng.dirichlet(np.ones(3), 40)
    wrong = {name: members.oof[name, 0].argmax(axis=1) != members.labels for name in names}
    found = mistakes.shared_errors(members)
    for i, one in enumerate(names):
        assert found["errors"][i] == wrong[one].sum()
        for j, other in enumerate(names):
            assert found["correlation"][i][j] == pytest.approx(matthews_corrcoef(wrong[one], wrong[other]))
            assert found["both"][i][j] == (wrong[one] & wrong[other]).sum()
    assert found["nobody"] + found["somebody"] == 40


def test_a_model_without_errors_has_no_correlation():
    train = pd.DataFrame({"sample_id": ["a", "b"], "label": [0, 1]})
    members = fake_members(train, ["x", "y"], ["good", "bad"])
    members.oof["good", 0][:] = np.eye(2)
    members.oof["bad", 0][:] = [[1, 0], [1, 0]]
    assert mistakes.shared_errors(members)["correlation"] == [[None, None], [None, pytest.approx(1)]]


def test_groups_are_counted_weakest_first_and_none_is_no_group():
    groups = pd.Series(["a", "a", "b", "b", None])
    found = mistakes.by_group(np.zeros(5, int), np.array([0, 0, 0, 1, 1]), groups)
    assert [(row["group"], row["samples"], row["accuracy"]) for row in found] == [("b", 2, 0.5), ("a", 2, 1.0)]
    assert all(0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1 for row in found)
    assert mistakes.by_group(np.zeros(2, int), np.zeros(2, int), pd.Series(["a", "a"])) == []


@pytest.mark.parametrize(("n", "inner"), [(2, True), (5, False), (30, True)])
def test_the_diagram_names_what_each_fold_does(n, inner):
    svg = str(protocol_diagram([10] * n, 7, "2 models, 3 seeds", inner))
    drawn = min(n, 5)
    assert svg.count(">PREDICT<") == drawn
    assert svg.count(">train<") == drawn * (drawn - 1)
    assert (svg.count("Set aside inside fold") == drawn * (drawn - 1)) == inner
    assert ("more folds" in svg) == (n > 5)


def test_a_broken_figure_is_named(tmp_path):
    (tmp_path / "pareto.svg").write_text("<svg")
    (tmp_path / "sheet.png").write_text("no picture")
    with pytest.raises(FoldstackError, match=r"pareto\.svg cannot be read"):
        pictures.inline_svg(tmp_path / "pareto.svg", "a-")
    with pytest.raises(FoldstackError, match=r"sheet\.png cannot be read"):
        pictures.inline_png(tmp_path / "sheet.png", "a")


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium on this machine")
def test_a_browser_has_nothing_to_complain_about(tmp_path, html):
    path = tmp_path / "report.html"
    path.write_text(html)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    command = [shutil.which("chromium"), *options, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count("<section") == len(text.SECTIONS)
    assert Path(path).stat().st_size < 3_000_000


def test_levels_that_look_like_missing_values_keep_their_names(tmp_path):
    (tmp_path / "factors.csv").write_text("grid,factor,level,accuracy\ng,ema_decay,null,\ng,model,NA,0.5\n")
    table = render_report._read_table(tmp_path / "factors.csv")
    assert table["level"].tolist() == ["null", "NA"]
    assert table["accuracy"].isna().tolist() == [True, False]
