"""Write the whole report as one HTML file (rule render_report)."""

import json
from pathlib import Path

import pandas as pd

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.ensemble import quorum
from foldstack.ensemble.members import read_methods, read_stacked
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


def main(smk):
    with job(smk):
        dataset, samples = read_json(smk.input.dataset), tables.read_samples(smk.input.samples)
        stack, classes = read_json(smk.input.stack), dataset["classes"]
        check_versions(stack, smk.input.stack, versions(dataset, read_json(smk.input.folds_summary)))
        members = read_stacked(smk.input, json.loads(smk.params.members), stack, samples, classes)
        page = report(
            board=read_leaderboard(smk.input.leaderboard),
            metrics=read_json(smk.input.metrics),
            members=members,
            deployed_oof=read_methods(smk.input.stack_oof, members.sample_ids, classes)[stack["method"]],
            samples=samples,
            pixels=open_pixels(smk.input.pixels),
            dataset=dataset,
            intake=read_json(smk.input.intake),
            folds=read_json(smk.input.folds_summary),
            runs=[read_json(path) for path in quorum.whole_members(smk.input.runs)],
            config=json.loads(smk.params.config),
            figures=dict(map(_figure, smk.input.figures)),
            factors=_read_table(smk.input.factors),
            retrieval=_read_table(smk.input.retrieval),
            stages=_read_table(smk.input.stages),
        )
        write_text(smk.output.report, page)


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
