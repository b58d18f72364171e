"""The distilled student of `variants.student`: one network for each fold, and one on all samples, which is deployed.

INPUTS   stack/oof.parquet, stack/stack.json, data/*, folds/*
OUTPUTS  student/fold{fold}/: as a run's; the last fold, `n_splits`, holds nothing out
"""


rule train_student:
    """Train a student without fold k, or on all training samples, and predict fold k and the test split."""
    input:
        stack="<results>/stack/stack.json",
        stack_oof="<results>/stack/oof.parquet",
        samples=ancient(prepared("data/samples.parquet")),
        pixels=ancient(prepared("data/pixels.npy")),
        dataset=ancient(prepared("data/dataset.json")),
        folds=ancient(prepared("folds/folds.parquet")),
        folds_summary=ancient(prepared("folds/folds.json")),
    output:
        weights="<results>/student/fold{fold}/weights.safetensors",
        oof="<results>/student/fold{fold}/oof.parquet",
        test="<results>/student/fold{fold}/test.parquet",
        history="<results>/student/fold{fold}/history.csv",
        run="<results>/student/fold{fold}/run.json",
    log:
        "<results>/logs/train_student/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/train_student/fold{fold}.tsv"
    threads: lambda wildcards: STUDENT["threads"]
    resources:
        gpu=student_cards,
        gpu_share=lambda wildcards: student_cards(wildcards) * PARTS if not ON_CLUSTER else 0,
    params:
        code=lambda wildcards: code("train_student.py", architecture=STUDENT["architecture"]),
        config=lambda wildcards: configuration.canonical(
            {key: value for key, value in STUDENT.items() if key not in ("devices", "share")}
        ),
        content=content,
        # They take `output` so that Snakemake does not track them: neither changes what a run gives.
        gpus=lambda wildcards, output: configuration.canonical(
            {"devices": STUDENT["devices"], "others": CONFIG["devices"], "share": 1, "busy": CONFIG["busy"]}
        ),
        events=lambda wildcards, output: f"{RESULTS}/tensorboard/student/fold{wildcards.fold}",
        work=lambda wildcards: f"{RESULTS}/work",
        progress=lambda wildcards: f"{RESULTS}/work/progress/student.fold{wildcards.fold}.json",
    script:
        "../workflow/scripts/train_student.py"
