"""Out-of-fold predictions: the runs of one (model, seed) put together, and checked against the protocol.

INPUTS   runs of one model and seed
OUTPUTS  oof/{model}/seed{seed}.parquet, test/{model}/seed{seed}.parquet
"""


rule collect_oof:
    """Put the folds of one model and seed together; refuse a run that saw what it predicts."""
    input:
        runs=expand("<results>/models/{{model}}/seed{{seed}}/fold{fold}/run.json", fold=FOLDS),
        oof=expand("<results>/models/{{model}}/seed{{seed}}/fold{fold}/oof.parquet", fold=FOLDS),
        test=expand("<results>/models/{{model}}/seed{{seed}}/fold{fold}/test.parquet", fold=FOLDS),
        samples=ancient(prepared("data/samples.parquet")),
        dataset=ancient(prepared("data/dataset.json")),
        duplicates=ancient(prepared("data/duplicates.parquet")),
        folds=ancient(prepared("folds/folds.parquet")),
        folds_summary=ancient(prepared("folds/folds.json")),
    output:
        oof="<results>/oof/{model}/seed{seed}.parquet",
        test="<results>/test/{model}/seed{seed}.parquet",
    log:
        "<results>/logs/collect_oof/{model}/seed{seed}.log",
    params:
        code=code("collect_oof.py"),
        content=content,
    script:
        "../workflow/scripts/collect_oof.py"
