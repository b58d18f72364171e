"""The LightGBM stacker and its baselines, cross-fitted on the folds of the base models.

INPUTS   oof/*, test/*
OUTPUTS  stack/stacker.txt, stack/oof.parquet, stack/test.parquet, stack/stack.json
"""


rule fit_stacker:
    """Fit every way of combining the models, each on the folds that it does not predict."""
    input:
        oof=member_files("oof"),
        test=member_files("test"),
        samples=ancient(prepared("data/samples.parquet")),
        dataset=ancient(prepared("data/dataset.json")),
        duplicates=ancient(prepared("data/duplicates.parquet")),
        folds=ancient(prepared("folds/folds.parquet")),
        folds_summary=ancient(prepared("folds/folds.json")),
    output:
        stacker="<results>/stack/stacker.txt",
        oof="<results>/stack/oof.parquet",
        test="<results>/stack/test.parquet",
        stack="<results>/stack/stack.json",
    log:
        "<results>/logs/fit_stacker.log",
    benchmark:
        "<results>/benchmarks/fit_stacker.tsv"
    params:
        code=code("fit_stacker.py"),
        config=configuration.canonical({"stack": CONFIG["stack"], "members": MEMBERS}),
        content=content,
    script:
        "../workflow/scripts/fit_stacker.py"
