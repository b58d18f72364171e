"""The permutation check: the line once more, by the same rules, on shuffled labels; it must score at chance.

INPUTS   data/samples.parquet, dataset.json, duplicates.parquet, pixels.npy
OUTPUTS  leakcheck/data/*, leakcheck/folds/* ... leakcheck/stack/*, as those of the line itself; leakcheck/leakcheck.json
"""


rule leakcheck:
    """The target to ask for: `snakemake leakcheck`."""
    input:
        "<results>/leakcheck/leakcheck.json",


rule shuffle_labels:
    """Give the training samples labels that have nothing to do with them."""
    input:
        samples=ancient(prepared("data/samples.parquet")),
        dataset=ancient(prepared("data/dataset.json")),
        duplicates=ancient(prepared("data/duplicates.parquet")),
    output:
        samples="<results>/leakcheck/data/samples.parquet",
        dataset="<results>/leakcheck/data/dataset.json",
    log:
        "<results>/logs/shuffle_labels.log",
    params:
        code=code("shuffle_labels.py"),
        config=configuration.canonical({"seed": CONFIG["leakcheck"]["seed"]}),
        content=content,
    script:
        "../workflow/scripts/shuffle_labels.py"


use rule assign_folds as leakcheck_assign_folds with:
    input:
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        duplicates=ancient(prepared("data/duplicates.parquet")),
    pathvars:
        results=LEAKCHECK,


use rule train_fold as leakcheck_train_fold with:
    input:
        samples="<results>/data/samples.parquet",
        pixels=ancient(prepared("data/pixels.npy")),
        dataset="<results>/data/dataset.json",
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
        pretrained=pretrained_weights,
    pathvars:
        results=LEAKCHECK,
    params:
        code=lambda wildcards: code("train_fold.py", wildcards.model),
        config=leakcheck_slice,
        content=content,
        tolerate=False,
        cards=lambda wildcards, output: card_plan(wildcards.model),
        work=f"{LEAKCHECK}/work",
        progress=lambda wildcards: f"{LEAKCHECK}/work/progress/{wildcards.model}.seed{wildcards.seed}.fold{wildcards.fold}.json",


use rule collect_oof as leakcheck_collect_oof with:
    input:
        runs=expand(f"{LEAKCHECK}/models/{{{{model}}}}/seed{{{{seed}}}}/fold{{fold}}/run.json", fold=FOLDS),
        oof=expand(f"{LEAKCHECK}/models/{{{{model}}}}/seed{{{{seed}}}}/fold{{fold}}/oof.parquet", fold=FOLDS),
        test=expand(f"{LEAKCHECK}/models/{{{{model}}}}/seed{{{{seed}}}}/fold{{fold}}/test.parquet", fold=FOLDS),
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        duplicates=ancient(prepared("data/duplicates.parquet")),
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
    pathvars:
        results=LEAKCHECK,


use rule fit_stacker as leakcheck_fit_stacker with:
    input:
        oof=member_files("oof", LEAKCHECK),
        test=member_files("test", LEAKCHECK),
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        duplicates=ancient(prepared("data/duplicates.parquet")),
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
    pathvars:
        results=LEAKCHECK,


rule check_chance:
    """Fail where anything scores above chance on shuffled labels."""
    input:
        oof=member_files("oof", LEAKCHECK),
        test=member_files("test", LEAKCHECK),
        stack="<results>/leakcheck/stack/stack.json",
        stack_oof="<results>/leakcheck/stack/oof.parquet",
        samples="<results>/leakcheck/data/samples.parquet",
        dataset="<results>/leakcheck/data/dataset.json",
        duplicates=ancient(prepared("data/duplicates.parquet")),
    output:
        scores="<results>/leakcheck/leakcheck.json",
    log:
        "<results>/logs/check_chance.log",
    params:
        code=code("check_chance.py"),
        config=configuration.canonical({"members": MEMBERS}),
    script:
        "../workflow/scripts/check_chance.py"
