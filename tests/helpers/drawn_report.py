"""Draws the whole report from made-up files, by the scripts that the rules run, and reads what was drawn."""

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from types import SimpleNamespace

import fake_report
from PIL import Image

import plot_calibration
import plot_confusion
import plot_curves
import plot_data
import plot_folds
import plot_pareto
import plot_timings
import render_leaderboard
import render_per_class


class Page(HTMLParser):
    """What a browser would see: tags, cells by row, and text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows, self.words, self.marked = [], [], [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.marked += ("class", "top") in attrs
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += int(dict(attrs).get("colspan", 1))

    def handle_data(self, data):
        self.words += [data.strip()] if data.strip() else []


def experiment(root, classes=("cat", "dog", "owl"), per_class=30, shape=(8, 8, 1), models=fake_report.MODELS, **runs):
    """All input files of the report under `root`."""
    samples, dataset = fake_report.write_data(root, list(classes), per_class, shape)
    fake_report.write_runs(root, models=models, **runs)
    fake_report.write_evaluation(root, samples, dataset, models=models)
    return samples, dataset


def run(script, root, inputs, outputs):
    """What Snakemake does for a rule; returns the output files in order."""
    paths = {name: root / "report" / file for name, file in outputs.items()}
    log = root / "log.txt"
    script.main(
        SimpleNamespace(
            input=SimpleNamespace(**inputs),
            output=SimpleNamespace(**paths),
            log=[log],
            params={},
            wildcards={},
            rule=script.__name__,
        )
    )
    assert log.read_text() == ""  # no warnings either
    return list(paths.values())


def draw_all(root):
    """Every figure and table of the report; {name: path}."""
    data, evaluation = root / "data", root / "evaluation"
    known = {"samples": data / "samples.parquet", "dataset": data / "dataset.json"}
    folds = {"folds": root / "folds/folds.parquet", "folds_summary": root / "folds/folds.json"}
    runs = sorted(root.glob("models/*/*/*/run.json"))
    history = {"history": [path.parent / "history.csv" for path in runs], "runs": runs}
    metrics = {"metrics": evaluation / "metrics.json", "dataset": known["dataset"]}
    board = {"leaderboard": evaluation / "leaderboard.csv", "metrics": metrics["metrics"]}
    pixels = known | {"pixels": data / "pixels.npy"}
    made = [
        *run(plot_data, root, pixels, {"counts": "counts.svg", "contact_sheet": "sheet.png"}),
        *run(plot_folds, root, known | folds, {"figure": "folds.svg"}),
        *run(plot_curves, root, history, {"figure": "curves.svg"}),
        *run(plot_timings, root, {"runs": runs}, {"figure": "timings.svg"}),
        *run(plot_confusion, root, metrics, {"figure": "confusion.svg"}),
        *run(plot_calibration, root, metrics, {"figure": "calibration.svg"}),
        *run(plot_pareto, root, metrics, {"figure": "pareto.svg"}),
        *run(render_leaderboard, root, board, {"table": "leaderboard.html", "figure": "intervals.svg"}),
        *run(render_per_class, root, metrics, {"table": "per_class.html"}),
    ]
    return {path.name: path for path in made}


def texts(svg):
    """The texts of an SVG, in the order in which they were drawn."""
    return [element.text for element in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")]


def size(path):
    """Width and height in CSS pixels."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            return image.size
    root = ET.parse(path).getroot()
    return tuple(float(root.get(key).removesuffix("pt")) * 96 / 72 for key in ("width", "height"))
