"""Out-of-fold predictions of each (model, seed), and the LightGBM stacker and its baselines that combine them.

INPUTS   the runs, data/*, folds/*
OUTPUTS  oof/{model}/seed{seed}.arrow, test/{model}/seed{seed}.arrow;
         stack/stacker.txt, stack/oof.arrow, stack/test.arrow, stack/stack.json
"""


rule collect_oof:
    """Join the folds of one model and seed; refuse a run that saw what it predicts."""
    input:
        prepared_inputs("samples", "dataset", "duplicates", "folds", "folds_summary"),
        runs=expand("<member>/fold{fold}/run.json", fold=FOLDS),
        oof=expand("<member>/fold{fold}/oof.arrow", fold=FOLDS),
        test=expand("<member>/fold{fold}/test.arrow", fold=FOLDS),
    output:
        oof="<results>/oof/{model}/seed{seed}.arrow",
        test="<results>/test/{model}/seed{seed}.arrow",
    log:
        "<results>/logs/collect_oof/{model}/seed{seed}.log",
    benchmark:
        "<results>/benchmarks/collect_oof/{model}/seed{seed}.tsv"
    resources:
        **needs("collect_oof"),
    params:
        code=code("collect_oof.py"),
        content=content,
    script:
        "../workflow/scripts/collect_oof.py"


rule fit_stacker:
    """Fit every way of combining the models, each on the folds that it does not predict."""
    input:
        prepared_inputs("samples", "dataset", "duplicates", "folds", "folds_summary"),
        oof=member_files("oof"),
        test=member_files("test"),
    output:
        stacker="<results>/stack/stacker.txt",
        oof="<results>/stack/oof.arrow",
        test="<results>/stack/test.arrow",
        stack="<results>/stack/stack.json",
    log:
        "<results>/logs/fit_stacker.log",
    benchmark:
        "<results>/benchmarks/fit_stacker.tsv"
    resources:
        **needs("fit_stacker"),
    params:
        code=code("fit_stacker.py"),
        config=configuration.canonical({"stack": CONFIG["stack"], "members": MEMBERS}),
        content=content,
    script:
        "../workflow/scripts/fit_stacker.py"
