"""Does the out-of-fold estimate agree with an untouched test split, and what does a leak fake? (`make bench-optimism`)

Many times over, a training set is drawn from scikit-learn's digits, or from ten classes of your own (`--npz`); the rest
is the test split, on which nothing is chosen. Three small networks are trained on the folds, under two protocols, and
combined by Foldstack's code:

- `inner`: Foldstack's. The epoch is chosen on an inner split of the other folds; the scored fold is touched once.
- `scored fold`: the usual one. All other folds are trained on, and the epoch is chosen on the fold that is then scored.

Combinations are scored cross-fitted (Foldstack's) or in-sample: fitted on all out-of-fold rows, scored on these.
The gap is the estimate less what exactly those networks and stackers do on the test split, one fold's network at a
time.
"""

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.metrics import log_loss  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402

from foldstack.config import resolve  # noqa: E402
from foldstack.ensemble import stacking  # noqa: E402
from foldstack.evaluation import metrics  # noqa: E402
from foldstack.folds import assign  # noqa: E402
from foldstack.probabilities import softmax  # noqa: E402

PAGES = ROOT / "docs" / "explanation"
CLASSES = [str(digit) for digit in range(10)]
N_SPLITS, INNER_SPLITS = 5, 10
EPOCHS = 20
NETWORKS = {  # hidden units, learning rate, columns of the pixels
    "narrow": (12, 0.03, slice(None)),
    "wide": (64, 0.02, slice(None)),
    "half": (32, 0.03, slice(None, None, 2)),
}
TESTED = 3000  # samples of the rest, at most
PROTOCOLS = ("inner", "scored fold")
SCORED = ("accuracy", "log_loss")


def epochs_of(name: str, seed: int, pixels: np.ndarray, labels: np.ndarray):
    """Yield after each epoch a function from pixels (N, P) to probabilities (N, 10)."""
    hidden, rate, columns = NETWORKS[name]
    network = MLPClassifier((hidden,), learning_rate_init=rate, batch_size=32, random_state=seed)
    for _ in range(EPOCHS):
        network.partial_fit(pixels[:, columns], labels, classes=np.arange(10))
        yield lambda rows: network.predict_proba(rows[:, columns])


def members(protocol: str, seed: int, pixels, labels, folds: pd.DataFrame, test_pixels):
    """Out-of-fold (M, N, C) and test (M, n_splits, T, C) probabilities of all networks under a protocol."""
    fold, inner = folds["fold"].to_numpy(), folds["inner"].to_numpy()
    oof = np.empty((len(NETWORKS), len(labels), 10))
    test = np.empty((len(NETWORKS), N_SPLITS, len(test_pixels), 10))
    for (m, name), k in itertools.product(enumerate(NETWORKS), range(N_SPLITS)):
        scored = fold == k
        aside = ~scored & (inner == k % INNER_SPLITS) if protocol == "inner" else scored
        rows, lowest = ~scored & ~aside, np.inf
        for predict in epochs_of(name, seed, pixels[rows], labels[rows]):
            loss = log_loss(labels[aside], predict(pixels[aside]), labels=np.arange(10))
            if loss < lowest:
                lowest, oof[m, scored], test[m, k] = loss, predict(pixels[scored]), predict(test_pixels)
    return oof, test


def load(npz: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """(N, P) pixels from 0 to 1 and (N,) labels from 0 to 9: of the digits, or `x` and `y` of an npz file."""
    if npz is None:
        pixels, labels = load_digits(return_X_y=True)
    else:
        with np.load(npz, allow_pickle=False) as file:
            pixels, labels = file["x"].reshape(len(file["y"]), -1), file["y"]
    return pixels / pixels.max(), labels


def rows_of(number: int, pixels: np.ndarray, labels: np.ndarray, n_train: int, settings: dict) -> list[dict]:
    """All estimates and what they estimate, of one resampling."""
    train, test = train_test_split(np.arange(len(labels)), train_size=n_train, stratify=labels, random_state=number)
    test = test[:TESTED]  # in random order
    ids = [f"{i:04d}" for i in range(n_train)]
    samples = pd.DataFrame({"sample_id": ids, "split": "train", "label": labels[train], "group": None, "fold": pd.NA})
    samples["view_hashes"] = [[name] for name in ids]
    options = {"strategy": "stratified", "n_splits": N_SPLITS, "inner_splits": INNER_SPLITS, "seed": number}
    folds, *_ = assign.assign(samples, CLASSES, **options)
    found = []
    for protocol in PROTOCOLS:
        oof, on_test = members(protocol, number, pixels[train], labels[train], folds, pixels[test])
        inputs = oof, labels[train], folds["fold"].to_numpy(), on_test, labels[test]
        for entry in estimates(*inputs, settings, check=number == 0):
            found.append({"resampling": number, "epoch": protocol} | entry)
    return found


def estimates(oof, labels, fold, on_test, test_labels, settings: dict, check: bool) -> list[dict]:
    """Cross-fitted and in-sample estimates of every method, and the test scores that belong to them."""
    names = list(NETWORKS)
    whole = stacking.fit_stack(oof, labels, fold, names, CLASSES, settings)
    crossed = {method: np.empty(oof.shape[1:]) for method in stacking.METHODS}
    inside = {method: stacking.predict_stack(method, whole[0], oof, whole[1]) for method in stacking.METHODS}
    truth: dict = {(how, method): [] for how in ("cross-fitted", "in-sample") for method in stacking.METHODS}
    for k in range(N_SPLITS):
        rest, held_out = fold != k, fold == k
        part = stacking.fit_stack(oof[:, rest], labels[rest], fold[rest], names, CLASSES, settings)
        for method in stacking.METHODS:
            crossed[method][held_out] = stacking.predict_stack(method, part[0], oof[:, held_out], part[1])
            for how, (spec, booster) in (("cross-fitted", part), ("in-sample", whole)):
                values = stacking.predict_stack(method, spec, on_test[:, k], booster)
                truth[how, method].append(metrics.scores(test_labels, values, SCORED))
    if check:  # the loop above is what the workflow does
        expected = stacking.cross_fit(oof, labels, fold, names, CLASSES, settings)
        assert all(np.allclose(softmax(expected[m]), crossed[m], atol=1e-6) for m in stacking.METHODS)
    found = []
    for how, tables in (("cross-fitted", crossed), ("in-sample", inside)):
        for method in stacking.METHODS:
            estimate = metrics.scores(labels, tables[method], SCORED)
            deployed = stacking.predict_folds(method, whole[0], on_test, whole[1])
            final = metrics.scores(test_labels, deployed, SCORED)
            entry = {"scored": how, "method": method}
            for metric in SCORED:
                same = float(np.mean([scores[metric] for scores in truth[how, method]]))
                entry |= {f"{metric}": estimate[metric], f"{metric}_test": same, f"{metric}_deployed": final[metric]}
            found.append(entry)
    return found


def summarised(table: pd.DataFrame) -> pd.DataFrame:
    """Means and standard errors (`_se`) over the resamplings, by protocol, scoring and method.

    `faked` is the gap in accuracy less that of Foldstack's protocol on the same resampling: what the leak adds.
    """
    for metric in SCORED:
        table[f"{metric}_gap"] = table[metric] - table[f"{metric}_test"]
    honest = table[(table["epoch"] == "inner") & (table["scored"] == "cross-fitted")]
    honest = honest.set_index(["resampling", "method"])["accuracy_gap"]
    table["faked"] = (
        table["accuracy_gap"] - honest.loc[list(zip(table["resampling"], table["method"], strict=True))].to_numpy()
    )
    groups = table.drop(columns="resampling").groupby(["epoch", "scored", "method"], sort=False)
    return groups.mean().join(groups.sem().add_suffix("_se")).reset_index()


def as_markdown(summary: pd.DataFrame) -> str:
    """One row a protocol and method."""
    lines = [
        "| epoch chosen on | scored | method | estimate | truth | gap | faked | log-loss gap | deployed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in summary.to_dict("records"):
        honest = (row["epoch"], row["scored"]) == ("inner", "cross-fitted")
        cells = [row["epoch"], row["scored"], row["method"], f"{100 * row['accuracy']:.2f}"]
        cells += [f"{100 * row['accuracy_test']:.2f}", _gap(row, "accuracy_gap", 100, 2)]
        cells += ["" if honest else _gap(row, "faked", 100, 2), _gap(row, "log_loss_gap", 1, 3)]
        lines.append(f"| {' | '.join(cells)} | {100 * row['accuracy_deployed']:.2f} |")
    return "\n".join(lines)


def _gap(row: dict, name: str, scale: float, digits: int) -> str:
    return f"{scale * row[name]:+.{digits}f} ± {scale * row[f'{name}_se']:.{digits}f}"


def draw(summary: pd.DataFrame, resamplings: int, path: Path) -> None:
    """The gaps in accuracy with two standard errors, by protocol and method."""
    from foldstack.report.figures import style

    looks = {
        ("inner", "cross-fitted"): ("Foldstack: inner split, cross-fitted", style.BLUE, "o"),
        ("inner", "in-sample"): ("inner split, stack scored in-sample", style.SKY, "s"),
        ("scored fold", "cross-fitted"): ("early stopping on the scored fold, cross-fitted", style.ORANGE, "D"),
        ("scored fold", "in-sample"): ("both leaks", style.VERMILLION, "^"),
    }
    methods = list(stacking.METHODS)
    title = f"How far the estimate flatters ({resamplings} resamplings)"
    with style.drawing(path, title, 760, 400) as figure:
        axes = figure.subplots()
        for shift, (key, (label, colour, marker)) in zip((-0.27, -0.09, 0.09, 0.27), looks.items(), strict=True):
            rows = (
                summary[(summary["epoch"] == key[0]) & (summary["scored"] == key[1])].set_index("method").loc[methods]
            )
            y = np.arange(len(methods)) + shift
            gap, reach = 100 * rows["accuracy_gap"], 200 * rows["accuracy_gap_se"]
            axes.hlines(y, gap - reach, gap + reach, color=colour, linewidth=1.6)
            axes.plot(gap, y, marker, color=colour, markersize=5, label=label)
        axes.axvline(0, color=style.INK, linewidth=0.9)
        axes.set_yticks(range(len(methods)), methods)
        axes.set(ylim=(len(methods) - 0.4, -0.6), xlabel="estimated less true accuracy (points), ± 2 standard errors")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        figure.legend(loc="outside lower left", ncols=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamplings", type=int, default=60)
    parser.add_argument("--n-train", type=int, default=300)
    parser.add_argument("--npz", type=Path, help="`x` (N, ...) and `y` (N,) from 0 to 9, instead of the digits")
    parser.add_argument("--rows", type=Path, help="CSV with every estimate")
    options = parser.parse_args()
    pixels, labels = load(options.npz)
    settings = resolve.resolve({"experiment": "optimism", "models": {"small_cnn": {}}})["stack"]
    started, found = time.monotonic(), []
    for number in range(options.resamplings):
        found += rows_of(number, pixels, labels, options.n_train, settings)
        print(f"{number + 1} of {options.resamplings}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        if options.rows:
            pd.DataFrame(found).to_csv(options.rows, index=False)
    table = pd.DataFrame(found)
    summary = summarised(table)
    if not options.npz:
        draw(summary, options.resamplings, PAGES / "leak-study.svg")
    print(as_markdown(summary))


if __name__ == "__main__":
    main()
