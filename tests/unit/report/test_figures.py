"""The report's figures and tables, drawn from made-up files by the scripts that the rules run."""

from pathlib import Path
from types import SimpleNamespace

import fake_report
import jinja2
import matplotlib
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts
from drawn_report import Page, draw_all, experiment, size, texts
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.report import confusion
from foldstack.report.figures import curves, data, style
from foldstack.report.figures import folds as figure

ODD = ["$x^2$", "<b>&\"'", "日本語", "naïve café", "line\nbreak", "_", "x" * 80]
REPORT = Path(__file__).parents[3] / "workflow" / "report"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    experiment(root)
    return root, draw_all(root)


def test_figures_name_what_they_show(drawn):
    _, made = drawn
    assert {"cat", "dog", "owl", "24 + 6"} <= set(texts(made["counts.svg"]))
    assert {"fold 0", "fold 4", "trains on", "cat"} <= set(texts(made["folds.svg"]))
    assert {*fake_report.MODELS, "inner split: loss", "Learning curves of 30 runs"} <= set(texts(made["curves.svg"]))
    assert {"seed 0", "seed 1", "s0 f0"} <= set(texts(made["timings.svg"]))
    assert {"Most frequent mistakes", "true class", "owl"} <= set(texts(made["confusion.svg"]))
    assert "Does the confidence of the stack “lightgbm” match its accuracy?" in texts(made["calibration.svg"])
    assert {"small_cnn + resnet18", "mean of all models"} <= set(texts(made["pareto.svg"]))
    assert "small_cnn + resnet18 + vit_tiny" not in texts(made["pareto.svg"]), "it costs more and brings nothing"
    assert {"lightgbm (stack)", "mean (blend)", "resnet18 (model)"} <= set(texts(made["intervals.svg"]))


def test_same_inputs_same_bytes_whatever_the_users_matplotlibrc(drawn, monkeypatch):
    root, made = drawn
    before = {name: path.read_bytes() for name, path in made.items()}
    for key, value in {"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path", "text.usetex": True}.items():
        monkeypatch.setitem(matplotlib.rcParams, key, value)
    after = {name: path.read_bytes() for name, path in draw_all(root).items()}
    assert after == before
    assert matplotlib.rcParams["font.size"] == 30  # and the user's own settings are left alone


def test_pages_are_self_contained_and_every_row_has_the_same_columns(drawn):
    _, made = drawn
    for name in ("leaderboard.html", "per_class.html"):
        html = made[name].read_text()
        page = Page(html)
        assert not {"script", "link", "img", "iframe"} & set(page.tags)
        assert "http" not in html
        assert "url(" not in html
        assert "prefers-color-scheme: dark" in html
        assert len(set(page.rows)) == 1


@pytest.mark.parametrize("count", [2, 160])
def test_any_number_of_classes_fits_a_screen(tmp_path, count):
    experiment(tmp_path, [f"class number {i}" for i in range(count)], per_class=5, models={"net": 0.9}, epochs=2)
    for path in draw_all(tmp_path).values():
        if path.suffix != ".html":
            width, height = size(path)
            assert width <= 1010
            assert height <= style.MAX_HEIGHT + 20, path.name
    assert len(Page((tmp_path / "report/per_class.html").read_text()).rows) == count + 2


def test_odd_names_are_shown_as_they_are(tmp_path):
    experiment(tmp_path, ODD, models={"m<i>$1$": 0.9, "NA": 0.8}, epochs=1)
    made = draw_all(tmp_path)
    assert {"$x^2$", "<b>&\"'", "日本語", "naïve café", "line break", "x" * 23 + "…"} <= set(texts(made["counts.svg"]))
    assert {"$x^2$", "<b>&\"'", "日本語", "line break"} <= set(texts(made["confusion.svg"]))
    assert {"m<i>$1$", "NA"} <= set(texts(made["curves.svg"]))
    page = Page(made["per_class.html"].read_text())
    assert {"<b>&\"'", "日本語", "x" * 80} <= set(page.words)
    board = Page(made["leaderboard.html"].read_text())
    assert {"m<i>$1$", "NA"} <= set(board.words)
    assert not {"b", "i"} & set(page.tags + board.tags)


def test_pairs_are_drawn_side_by_side(tmp_path):
    samples, dataset = fake_report.write_data(tmp_path, ["different", "same"], 6, shape=(2, 8, 8, 3))
    pixels = np.zeros((len(samples), 2, 8, 8, 3), np.uint8)
    pixels[:, 0, ..., 0], pixels[:, 1, ..., 1] = 255, 255
    data.draw_contact_sheet(samples, pixels, dataset, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    red = (sheet == (255, 0, 0)).all(axis=2)
    green = (sheet == (0, 255, 0)).all(axis=2)
    shown = (samples["split"] == "train").sum()
    assert red.sum() == green.sum() == shown * 72 * 72  # 8 pixels enlarged nine times
    assert np.flatnonzero(red.any(axis=0))[0] < np.flatnonzero(green.any(axis=0))[0]


def test_contact_sheet_does_not_depend_on_the_order_of_rows_and_shows_no_test_sample(tmp_path):
    samples, dataset = fake_report.write_data(tmp_path, ["a", "b"], 40)
    pixels = np.where(samples["split"] == "test", 255, 7).astype(np.uint8)[:, None, None, None]
    pixels = np.broadcast_to(pixels, (len(samples), 8, 8, 1))
    for name, table in (("one", samples), ("two", samples.sample(frac=1, random_state=3))):
        data.draw_contact_sheet(table, pixels, dataset, tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    sheet = np.asarray(Image.open(tmp_path / "one.png").convert("L"))
    tiles = sheet[70:110, 12:800]  # inside the first row of tiles
    assert set(np.unique(tiles[:, :72])) == {7}


def test_counts_are_right_and_a_class_without_test_samples_is_flagged(tmp_path):
    samples, dataset = fake_report.write_data(tmp_path, ["a", "b", "c"], 10)
    samples = samples[~((samples["label"] == 1) & (samples["split"] == "test"))]
    counts = data.count_classes(samples, dataset["classes"])
    assert counts.loc["b"].to_dict() == {"train": 7, "test": 0}
    assert counts.to_numpy().sum() == len(samples)
    data.draw_counts(samples, dataset, tmp_path / "counts.svg")
    (flagged,) = [line for line in (tmp_path / "counts.svg").read_text().splitlines() if "7 + 0" in line]
    assert style.VERMILLION.lower() in flagged.lower()
    other = [line for line in (tmp_path / "counts.svg").read_text().splitlines() if "8 + 2" in line]
    assert other
    assert style.VERMILLION.lower() not in other[0].lower()


@given(st.integers(2, 8), st.integers(2, 12), st.integers(0, 60), st.randoms(use_true_random=False))
def test_run_sizes_agree_with_the_definition(n_splits, inner_splits, n, random):
    rows = [(f"s{i}", random.randrange(n_splits), random.randrange(inner_splits)) for i in range(n)]
    folds = pd.DataFrame(rows, columns=["sample_id", "fold", "inner"])
    sizes = figure.run_sizes(folds, n_splits, inner_splits)
    for k, row in enumerate(sizes.to_dict("records")):
        predicted = {name for name, fold, _ in rows if fold == k}
        aside = {name for name, fold, inner in rows if fold != k and inner == k % inner_splits}
        assert row == {"train": n - len(predicted) - len(aside), "inner": len(aside), "fold": len(predicted)}


def test_class_by_fold_joins_by_sample_id(tmp_path):
    samples, _ = fake_report.write_data(tmp_path, ["a", "b"], 30)
    folds = tables.read_folds(tmp_path / "folds/folds.parquet")
    counts = figure.class_by_fold(folds.iloc[::-1], samples.sample(frac=1, random_state=1), 2, 5)
    labels = samples.set_index("sample_id")["label"]
    expected = [
        [sum(labels[i] == c for i in folds.loc[folds["fold"] == k, "sample_id"]) for k in range(5)] for c in (0, 1)
    ]
    assert counts.tolist() == expected


def test_curves_without_an_inner_split_say_so(tmp_path):
    final = fake_report.write_runs(tmp_path / "final", models={"net": 0.9}, selection="final", epochs=3)
    curves.draw_curves(curves.read_curves(final), tmp_path / "final.svg")
    assert "training loss" in texts(tmp_path / "final.svg")
    assert not [text for text in texts(tmp_path / "final.svg") if "inner" in text or "accuracy" in text]
    inner = fake_report.write_runs(tmp_path / "inner", models={"other": 0.9}, epochs=3)
    curves.draw_curves(curves.read_curves([*final, *inner]), tmp_path / "both.svg")
    assert {"no inner split", "inner split: accuracy"} <= set(texts(tmp_path / "both.svg"))


def test_curves_name_the_run_with_the_lowest_accuracy(tmp_path):
    paths = fake_report.write_runs(tmp_path, models={"net": 0.9}, epochs=4)
    weak = tmp_path / "models/net/seed1/fold2"
    history = pd.read_csv(weak / "history.csv").assign(inner_accuracy=0.125)
    history.to_csv(weak / "history.csv", index=False)
    curves.draw_curves(curves.read_curves(paths), tmp_path / "curves.svg")
    assert "lowest 0.125 (s1 f2)" in texts(tmp_path / "curves.svg")


def test_a_run_without_epochs_is_left_out_and_a_broken_history_is_named(tmp_path):
    paths = fake_report.write_runs(tmp_path, models={"net": 0.9}, seeds=(0,), n_splits=2, epochs=2)
    file = paths[0].parent / "history.csv"
    header = file.read_text().splitlines()[0]
    file.write_text(header + "\n")
    assert [record["fold"] for record, _ in curves.read_curves(paths)["net"]] == [1]
    for broken in ("", "epoch,lr\n1,0.1\n", header + "\n1,0.1,high,0,0\n"):
        file.write_text(broken)
        with pytest.raises(FoldstackError, match=r"fold0.history\.csv"):
            curves.read_curves(paths)


MATRICES = st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=4, max_size=4)


@given(MATRICES)
def test_mistakes_are_the_largest_off_the_diagonal(rows):
    classes = list("abcd")
    found = confusion.mistakes(np.array(rows), classes, limit=5)
    wrong = sorted((rows[i][j] for i in range(4) for j in range(4) if i != j and rows[i][j]), reverse=True)
    assert [count for _, _, count, _ in found] == wrong[:5]
    for true, predicted, count, total in found:
        assert rows[classes.index(true)][classes.index(predicted)] == count
        assert sum(rows[classes.index(true)]) == total


@given(MATRICES)
def test_pairs_count_both_ways_and_come_most_first(rows):
    found = confusion.pairs(np.array(rows), list("abcd"))
    both = {(i, j): rows[i][j] + rows[j][i] for i in range(4) for j in range(i + 1, 4)}
    assert [row["count"] for row in found] == sorted((n for n in both.values() if n), reverse=True)
    for row in found:
        i, j = ("abcd".index(row[key]) for key in ("first", "second"))
        assert [each["count"] for each in row["taken"]] == [rows[i][j], rows[j][i]]
        assert row["share"] == pytest.approx(both[i, j] / (sum(rows[i]) + sum(rows[j])))


@given(st.integers(0, 1000))
def test_classes_that_are_confused_become_neighbours(seed):
    """Four groups of five classes, confused within their group alone, in any order: each group is together again."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(4), 5))
    counts = np.where(group == group[:, None], rng.integers(1, 9, (20, 20)), 0) + 50 * np.eye(20, dtype=int)
    order = confusion.by_likeness(counts)
    assert sorted(order) == list(range(20))
    assert np.count_nonzero(np.diff(group[order])) == 3
    assert sorted(confusion.by_likeness(np.eye(5, dtype=int))) == list(range(5))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (12.3, "12 s"), (89, "89 s"), (90, "1.5 min"), (5400, "1.5 h"), (129600, "1.5 d")],
)
def test_durations(seconds, text):
    assert style.duration(seconds) == text


@given(st.text(), st.integers(2, 40))
def test_short_names_are_one_line_and_bounded(text, length):
    short = style.short(text, length)
    assert len(short) <= length
    assert len(short.splitlines()) <= 1
    assert style.short(short, length) == short


@pytest.mark.parametrize("path", sorted(REPORT.glob("*.rst")), ids=lambda path: path.stem)
def test_captions_are_sound_restructured_text(path):
    config = {"experiment": "demo", "models": {"small_cnn": {}, "ends_with_": {}}}
    for present in (config, {}):
        source = jinja2.Template(path.read_text()).render(snakemake=SimpleNamespace(config=present))
        html = publish_parts(source, writer="html", settings_overrides={"report_level": 1, "warning_stream": False})[
            "body"
        ]
        assert "system-message" not in html
    assert 40 <= len(source.split()) <= 250
