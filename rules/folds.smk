"""Fold splits, shared by every model, seed and the stacker.

INPUTS   data/samples.parquet, data/dataset.json, data/duplicates.parquet
OUTPUTS  folds/folds.parquet, folds/folds.json; a picture of them
"""


checkpoint assign_folds:
    """Give each training sample its fold and its inner bucket; a checkpoint, so that equal folds rerun nothing."""
    input:
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        duplicates="<results>/data/duplicates.parquet",
    output:
        folds="<results>/folds/folds.parquet",
        summary="<results>/folds/folds.json",
    log:
        "<results>/logs/assign_folds.log",
    benchmark:
        "<results>/benchmarks/assign_folds.tsv"
    resources:
        **needs("assign_folds"),
    params:
        code=code("assign_folds.py"),
        config=slice_of("folds"),
    script:
        "../workflow/scripts/assign_folds.py"


rule plot_folds:
    """Draw the folds: sizes, classes, inner split."""
    input:
        prepared_inputs("folds", "folds_summary", "samples", "dataset"),
    output:
        figure=report(
            "<results>/folds/folds.svg",
            category="2 Data and folds",
            labels={"figure": "Folds"},
            caption="../workflow/report/folds.rst",
        ),
    log:
        "<results>/logs/plot_folds.log",
    params:
        code=code("plot_folds.py"),
        content=content,
    script:
        "../workflow/scripts/plot_folds.py"
