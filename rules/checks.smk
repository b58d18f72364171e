"""Checks that run the line once more, by the same rules, each time in a folder of its own.

`leakcheck`: on shuffled labels, where it must score at chance. `nested`: without one fold at a time, which the whole
line, stack and all, then predicts. `repeated`: on other draws of the folds.

INPUTS   data/*, folds/*, oof/*, stack/*
OUTPUTS  {line}/data/*, {line}/folds/* ... {line}/stack/* as of the line itself, where {line} is `leakcheck`,
         `nested/fold{k}` or `repeated/draw{n}`; leakcheck/leakcheck.json, nested/nested.json, repeated/repeated.json
"""

DRAWS = [f"repeated/draw{number}" for number in range(1, CONFIG["repeated"]["draws"])]
NESTED = [f"nested/fold{fold}" for fold in FOLDS]


rule leakcheck:
    """The target to ask for: `snakemake leakcheck`."""
    input:
        "<results>/leakcheck/leakcheck.json",
        made_on_the_way(f"{RESULTS}/leakcheck"),


rule nested:
    """The target to ask for: `snakemake nested`."""
    input:
        "<results>/nested/nested.json",
        [made_on_the_way(f"{RESULTS}/{line}") for line in NESTED],


rule repeated:
    """The target to ask for: `snakemake repeated`."""
    input:
        "<results>/repeated/repeated.json",
        [made_on_the_way(f"{RESULTS}/{line}") for line in DRAWS],


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


rule hold_out_fold:
    """Make one fold the test split, and leave the line's own test split out."""
    input:
        samples=ancient(prepared("data/samples.parquet")),
        dataset=ancient(prepared("data/dataset.json")),
        folds=ancient(prepared("folds/folds.parquet")),
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
    """The same samples once more, for another draw of the folds."""
    input:
        samples=ancient(prepared("data/samples.parquet")),
        dataset=ancient(prepared("data/dataset.json")),
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


use rule assign_folds as line_assign_folds with:
    input:
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        duplicates=ancient(prepared("data/duplicates.parquet")),
    pathvars:
        results=LINE,
    params:
        code=code("assign_folds.py"),
        config=line_folds,


use rule train_fold as line_train_fold with:
    input:
        samples="<results>/data/samples.parquet",
        pixels=ancient(prepared("data/pixels.npy")),
        dataset="<results>/data/dataset.json",
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
        prompts=class_prompts,
        captions=captions_of,
        pretrained=pretrained_weights,
    pathvars:
        results=LINE,
    params:
        code=lambda wildcards: code("train_fold.py", wildcards.model),
        config=line_training,
        content=content,
        tolerate=False,
        gpus=lambda wildcards, output: card_plan(wildcards.model),
        events=lambda wildcards, output: f"{RESULTS}/{wildcards.line}/tensorboard/{wildcards.model}/seed{wildcards.seed}/fold{wildcards.fold}",
        work=lambda wildcards: f"{RESULTS}/{wildcards.line}/work",
        progress=lambda wildcards: f"{RESULTS}/{wildcards.line}/work/progress/{wildcards.model}.seed{wildcards.seed}.fold{wildcards.fold}.json",


use rule collect_oof as line_collect_oof with:
    input:
        runs=line_files("run.json"),
        oof=line_files("oof.parquet"),
        test=line_files("test.parquet"),
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        duplicates=ancient(prepared("data/duplicates.parquet")),
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
    pathvars:
        results=LINE,


use rule fit_stacker as line_fit_stacker with:
    input:
        oof=member_files("oof", LINE),
        test=member_files("test", LINE),
        samples="<results>/data/samples.parquet",
        dataset="<results>/data/dataset.json",
        duplicates=ancient(prepared("data/duplicates.parquet")),
        folds="<results>/folds/folds.parquet",
        folds_summary="<results>/folds/folds.json",
    pathvars:
        results=LINE,


rule check_chance:
    """Fail where anything scores above chance on shuffled labels."""
    input:
        oof=member_files("oof", f"{RESULTS}/leakcheck"),
        test=member_files("test", f"{RESULTS}/leakcheck"),
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


rule score_nested:
    """Score each fold by a line that never saw it, beside the out-of-fold estimate."""
    input:
        samples=ancient(prepared("data/samples.parquet")),
        dataset=ancient(prepared("data/dataset.json")),
        folds=ancient(prepared("folds/folds.parquet")),
        stack="<results>/stack/stack.json",
        stack_oof="<results>/stack/oof.parquet",
        stack_test=expand("<results>/{line}/stack/test.parquet", line=NESTED),
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
        samples=ancient(prepared("data/samples.parquet")),
        dataset=ancient(prepared("data/dataset.json")),
        stack="<results>/stack/stack.json",
        stack_oof=["<results>/stack/oof.parquet", *expand("<results>/{line}/stack/oof.parquet", line=DRAWS)],
        folds_summary=ancient(prepared("folds/folds.json")),
        other_folds=expand("<results>/{line}/folds/folds.json", line=DRAWS),
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
