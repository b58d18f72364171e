"""The distilled student of `variants.student`: one network for each fold, and one on all samples, which is deployed.

INPUTS   stack/oof.arrow, stack/stack.json, data/*, folds/*
OUTPUTS  student/fold{fold}/: as a run's; the last fold, `n_splits`, holds nothing out
"""

STUDENT = CONFIG["variants"]["student"]
NO_HELD_OUT_FOLD = CONFIG["folds"]["n_splits"]


rule train_student:
    """Train a student on all folds but k, or on all training samples, and predict fold k and the test split."""
    input:
        prepared_inputs("samples", "pixels", "dataset", "folds", "folds_summary"),
        stack="<results>/stack/stack.json",
        stack_oof="<results>/stack/oof.arrow",
    output:
        weights="<run>/weights.safetensors",
        oof="<run>/oof.arrow",
        test="<run>/test.arrow",
        history="<run>/history.csv",
        run="<run>/run.json",
    log:
        "<results>/logs/train_student/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/train_student/fold{fold}.tsv"
    pathvars:
        run="<results>/student/fold{fold}",
    threads: lambda wildcards: STUDENT["threads"]
    resources:
        gpu=lambda wildcards: whole_gpus(STUDENT),
        gpu_share=lambda wildcards: gpu_shares(STUDENT),
    params:
        **run_places(RESULTS, "student/fold{fold}"),
        code=lambda wildcards: code("train_student.py", architecture=STUDENT["architecture"]),
        config=lambda wildcards: configuration.canonical(
            {key: value for key, value in STUDENT.items() if key not in ("devices", "share")}
        ),
        content=content,
        # It takes `output` so that Snakemake does not track it: it does not change a run's result.
        gpus=lambda wildcards, output: gpu_plan(STUDENT),
    script:
        "../workflow/scripts/train_student.py"
