"""Checks that run the whole pipeline again, from the folds to the stack, by the same rules, each in its own folder.

`leakcheck`: on shuffled labels, where it must score at chance. `nested`: without one fold at a time, which the pipeline
then predicts, stack included. `repeated`: on other draws of the folds.

INPUTS   data/*, folds/*, oof/*, stack/*
OUTPUTS  {check}/data/*, {check}/folds/* ... {check}/stack/* as in the results themselves, where {check} is `leakcheck`,
         `nested/fold{k}` or `repeated/draw{n}`; leakcheck/leakcheck.json, nested/nested.json, repeated/repeated.json
"""

CHECK = f"{RESULTS}/{{check}}"
DRAWS = [f"repeated/draw{number}" for number in range(1, CONFIG["repeated"]["draws"])]
NESTED = [f"nested/fold{fold}" for fold in FOLDS]
FOLD_SEED = CONFIG["folds"]["seed"]
LEAKCHECK_EPOCHS = {
    name: min(block["epochs"], CONFIG["leakcheck"]["epochs"] or block["epochs"])
    for name, block in CONFIG["models"].items()
}


rule leakcheck:
    """The target to ask for: `snakemake leakcheck`."""
    input:
        "<results>/leakcheck/leakcheck.json",
        intermediate_files("<results>/leakcheck"),


rule nested:
    """The target to ask for: `snakemake nested`."""
    input:
        "<results>/nested/nested.json",
        [intermediate_files(f"<results>/{check}") for check in NESTED],


rule repeated:
    """The target to ask for: `snakemake repeated`."""
    input:
        "<results>/repeated/repeated.json",
        [intermediate_files(f"<results>/{check}") for check in DRAWS],


rule shuffle_labels:
    """Give the training samples labels that have nothing to do with them."""
    input:
        prepared_inputs("samples", "dataset", "duplicates"),
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


rule hold_out_fold:
    """Make one fold the test split, and leave the real test split out."""
    input:
        prepared_inputs("samples", "dataset", "folds"),
    output:
        samples="<results>/nested/fold{fold}/data/samples.parquet",
        dataset="<results>/nested/fold{fold}/data/dataset.json",
    log:
        "<results>/logs/hold_out_fold/{fold}.log",
    params:
        code=code("hold_out_fold.py"),
        config=configuration.canonical({"strategy": CONFIG["folds"]["strategy"]}),
        content=content,
    script:
        "../workflow/scripts/hold_out_fold.py"


rule keep_data:
    """A copy of the samples, for another draw of the folds."""
    input:
        prepared_inputs("samples", "dataset"),
    output:
        samples="<results>/repeated/draw{draw}/data/samples.parquet",
        dataset="<results>/repeated/draw{draw}/data/dataset.json",
    log:
        "<results>/logs/keep_data/{draw}.log",
    params:
        code=code("keep_data.py"),
        config=configuration.canonical({"strategy": CONFIG["folds"]["strategy"]}),
        content=content,
    script:
        "../workflow/scripts/keep_data.py"


use rule assign_folds as check_assign_folds with:
    input:
        prepared_inputs("duplicates"),
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
    pathvars:
        results=CHECK,
    params:
        # Each draw of `repeated` has a different seed.
        config=lambda wildcards: configuration.canonical(
            {"folds": CONFIG["folds"] | {"seed": (FOLD_SEED + int(wildcards.check.partition("draw")[2] or 0)) % 2**32}}
        ),


use rule train_fold as check_train_fold with:
    input:
        prepared_inputs("pixels"),
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
        prompts=lambda wildcards: PROMPTS_OF.get(wildcards.model, []),
        captions=lambda wildcards: CAPTIONS_OF.get(wildcards.model, []),
        pretrained=lambda wildcards: PRETRAINED_OF.get(wildcards.model, []),
    pathvars:
        results=CHECK,
    params:
        **run_places(CHECK, "{model}/seed{seed}/fold{fold}"),
        config=lambda wildcards: configuration.canonical(
            configuration.training_slice(CONFIG, wildcards.model)
            | ({"epochs": LEAKCHECK_EPOCHS[wildcards.model]} if wildcards.check == "leakcheck" else {})
        ),
        tolerate=False,


use rule collect_oof as check_collect_oof with:
    input:
        prepared_inputs("duplicates"),
        runs=expand("<member>/fold{fold}/run.json", fold=FOLDS),
        oof=expand("<member>/fold{fold}/oof.arrow", fold=FOLDS),
        test=expand("<member>/fold{fold}/test.arrow", fold=FOLDS),
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
    pathvars:
        results=CHECK,


use rule fit_stacker as check_fit_stacker with:
    input:
        prepared_inputs("duplicates"),
        oof=member_files("oof"),
        test=member_files("test"),
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
    pathvars:
        results=CHECK,


rule check_chance:
    """Fail where anything scores above chance on shuffled labels."""
    input:
        prepared_inputs("duplicates"),
        oof=member_files("oof", "<results>/leakcheck"),
        test=member_files("test", "<results>/leakcheck"),
        stack="<results>/leakcheck/stack/stack.json",
        stack_oof="<results>/leakcheck/stack/oof.arrow",
        samples="<results>/leakcheck/data/samples.parquet",
        dataset="<results>/leakcheck/data/dataset.json",
    output:
        scores="<results>/leakcheck/leakcheck.json",
    log:
        "<results>/logs/check_chance.log",
    params:
        code=code("check_chance.py"),
        config=configuration.canonical({"members": MEMBERS}),
    script:
        "../workflow/scripts/check_chance.py"


rule score_nested:
    """Score each fold by a pipeline that never saw it, beside the out-of-fold estimate."""
    input:
        prepared_inputs("samples", "dataset", "folds"),
        stack="<results>/stack/stack.json",
        stack_oof="<results>/stack/oof.arrow",
        stack_test=expand("<results>/{check}/stack/test.arrow", check=NESTED),
    output:
        scores="<results>/nested/nested.json",
        summary="<results>/nested/summary.txt",
    log:
        "<results>/logs/score_nested.log",
    params:
        code=code("score_nested.py"),
        config=configuration.canonical(CONFIG["evaluation"]),
        content=content,
    script:
        "../workflow/scripts/score_nested.py"


rule score_repeated:
    """Score the out-of-fold predictions of every draw of the folds."""
    input:
        prepared_inputs("samples", "dataset", "folds_summary"),
        stack="<results>/stack/stack.json",
        stack_oof=["<results>/stack/oof.arrow", *expand("<results>/{check}/stack/oof.arrow", check=DRAWS)],
        other_folds=expand("<results>/{check}/folds/folds.json", check=DRAWS),
    output:
        scores="<results>/repeated/repeated.json",
        summary="<results>/repeated/summary.txt",
    log:
        "<results>/logs/score_repeated.log",
    params:
        code=code("score_repeated.py"),
        content=content,
    script:
        "../workflow/scripts/score_repeated.py"
