"""Write the whole report as one HTML file (rule render_report)."""

import json
from pathlib import Path

import pandas as pd

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.ensemble import quorum
from foldstack.ensemble.members import read_methods, read_stacked
from foldstack.evaluation.prediction import Prediction
from foldstack.files import read_json, write_text
from foldstack.folds.digest import check_versions, versions
from foldstack.jobs.job import job
from foldstack.report.build import report
from foldstack.report.leaderboard import read_leaderboard
from foldstack.report.pictures import inline_png, inline_svg

TEXT = dict.fromkeys(("grid", "factor", "level", "baseline", "model", "stage", "added", "best_single"), str)
ALTERNATIVES = {
    "contact_sheet": "Some training samples of each class",
    "duplicates": "Pairs of identical and nearly equal samples, side by side",
}


def main(snakemake):
    with job(snakemake):
        dataset, samples = read_json(snakemake.input.dataset), tables.read_samples(snakemake.input.samples)
        stack, classes = read_json(snakemake.input.stack), dataset["classes"]
        check_versions(stack, snakemake.input.stack, versions(dataset, read_json(snakemake.input.folds_summary)))
        members = read_stacked(snakemake.input, json.loads(snakemake.params.members), stack, samples, classes)
        page = report(
            board=read_leaderboard(snakemake.input.leaderboard),
            metrics=read_json(snakemake.input.metrics),
            members=members,
            deployed_oof=Prediction(
                [read_methods(snakemake.input.stack_oof, members.sample_ids, classes)[stack["method"]]]
            ),
            samples=samples,
            pixels=open_pixels(snakemake.input.pixels),
            dataset=dataset,
            intake=read_json(snakemake.input.intake),
            folds=read_json(snakemake.input.folds_summary),
            runs=[read_json(path) for path in quorum.whole_members(snakemake.input.runs)],
            config=json.loads(snakemake.params.config),
            figures=dict(map(_figure, snakemake.input.figures)),
            factors=_read_table(snakemake.input.factors),
            retrieval=_read_table(snakemake.input.retrieval),
            stages=_read_table(snakemake.input.stages),
        )
        write_text(snakemake.output.report, page)


def _read_table(path) -> pd.DataFrame | None:
    """A table whose names stay as they are, `null` and `NA` too."""
    return pd.read_csv(path, dtype=TEXT, keep_default_na=False, na_values=[""]) if path else None


def _figure(path):
    name = Path(path).stem
    if name in ALTERNATIVES:
        return name, inline_png(path, ALTERNATIVES[name])
    return name, inline_svg(path, f"{name}-")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
