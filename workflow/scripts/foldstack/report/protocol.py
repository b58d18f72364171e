"""How the number was obtained, drawn: what each fold's runs train on, select on and predict, and what follows."""

from markupsafe import Markup

SHOWN = 5  # folds that are drawn; if there are more, the first four and the last
CELL, ROW, LEFT, TOP = 76, 26, 118, 48  # px
WIDTH = 700  # px, at least: what the words beneath need
INNER = 14  # px: width of the inner split in a cell


def protocol_diagram(sizes: list[int], tested: int, seeds: str, inner: bool) -> Markup:
    """An SVG element of the experiment's own folds.

    Args:
        sizes: training samples in each fold.
        tested: samples of the test split.
        seeds: such as "3 models, 2 seeds": the runs that a row represents.
        inner: whether runs set a part of their training folds aside (`selection: inner`).
    """
    n = len(sizes)
    folds = list(range(n)) if n <= SHOWN else [*range(SHOWN - 1), n - 1]
    parts = [_text(LEFT + i * CELL + CELL / 2, TOP - 22, f"fold {fold}", "middle") for i, fold in enumerate(folds)]
    parts += [
        _text(LEFT + i * CELL + CELL / 2, TOP - 8, f"{sizes[fold]:,}", "middle", "small")
        for i, fold in enumerate(folds)
    ]
    right = LEFT + len(folds) * CELL + 16
    parts += [_text(right + CELL / 2, TOP - 22, "test split", "middle")]
    parts += [_text(right + CELL / 2, TOP - 8, f"{tested:,}", "middle", "small")]
    y = TOP
    for fold in folds:
        if fold - folds[max(folds.index(fold) - 1, 0)] > 1:
            parts.append(_text(LEFT + 4, y + 10, f"… {n - SHOWN} more folds …", "start", "small"))
            y += 16
        parts.append(_text(0, y + 16, f"runs of fold {fold}", "start"))
        for i, other in enumerate(folds):
            parts += _cell(LEFT + i * CELL, y, fold, other, sizes[other], inner)
        parts += [_box(right, y, CELL - 3, "test", f"Runs of fold {fold} predict {tested:,} test samples, at the end")]
        parts += [_text(right + CELL / 2, y + 16, "predict", "middle", "on")]
        y += ROW
    y += 26
    width = max(right + CELL + 4, WIDTH)
    steps = [
        ("Out-of-fold table", "each sample by runs that never saw it"),
        ("Stack, fold by fold", "fitted without the fold it predicts"),
        ("Out-of-fold score", "with a 95 % interval over samples"),
    ]
    step = (width - 40) / 3
    for i, (name, what) in enumerate(steps):
        x = i * (step + 20)
        parts += [_box(x, y, step, "step", name, 46), _text(x + step / 2, y + 19, name, "middle", "strong")]
        parts += [_text(x + step / 2, y + 35, what, "middle", "tiny")]
        if i:
            parts.append(
                Markup('<path class="arrow" d="M{:.0f} {:.0f} h14 m-5 -4 l5 4 l-5 4"/>').format(x - 17, y + 23)
            )
    lead = Markup('<path class="arrow" d="M{0:.0f} {1:.0f} v16 m-4 -5 l4 5 l4 -5"/>').format(step / 2, y - 21)
    words = (
        f"Protocol: {n} folds. The runs of a fold ({seeds}) train on the other folds"
        + (", select the epoch on an inner split of these" if inner else "")
        + ", and predict their own fold and the test split once."
    )
    opening = Markup('<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}" ')
    style = Markup('style="width: {:.0f}px">').format(1.15 * width)
    body = Markup("").join([lead, *parts])
    opening = opening.format(words, width, y + 50)
    return Markup('<div class="figure protocol">{}{}{}</svg></div>').format(opening, style, body)


def _cell(x: float, y: float, fold: int, other: int, size: int, inner: bool) -> list[Markup]:
    """What the runs of `fold` do with the samples of fold `other`."""
    width = CELL - 3
    if fold == other:
        box = _box(x, y, width, "predict", f"Runs of fold {fold} predict these {size:,} samples once, at the end")
        return [box, _text(x + width / 2, y + 16, "PREDICT", "middle", "on strong")]
    cells = [_box(x, y, width, "train", f"Runs of fold {fold} train on fold {other} ({size:,} samples)")]
    cells.append(_text(x + (width - INNER * inner) / 2, y + 16, "train", "middle", "white"))
    if inner:
        what = f"Set aside inside fold {other} by runs of fold {fold}: epoch and early stopping are chosen here"
        cells.append(_box(x + width - INNER, y, INNER, "inner", what))
    return cells


def _box(x: float, y: float, width: float, kind: str, title: str, height: float = ROW - 4) -> Markup:
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}" rx="2"><title>{}</title></rect>'
    ).format(kind, x, y, width, height, title)


def _text(x: float, y: float, words: str, anchor: str, kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, words)
