"""Base models: one job is one run (model, seed, fold).

INPUTS   data/*, folds/*; a file of weights or timm's hub, for models with `pretrained`
OUTPUTS  pretrained/{model}.safetensors, {model}.json
         models/{model}/seed{seed}/fold{fold}/: weights.safetensors, oof.parquet, test.parquet, history.csv, run.json
"""


rule fetch_weights:
    """Bring the weights that a model starts from into one file: besides fetch_encoder the only job that may need the internet."""
    input:
        source=given_weights,
    output:
        weights="<results>/pretrained/{model}.safetensors",
        record="<results>/pretrained/{model}.json",
    log:
        "<results>/logs/fetch_weights/{model}.log",
    params:
        code=code("fetch_weights.py"),
        config=lambda wildcards: weights_slice(wildcards.model),
    script:
        "../workflow/scripts/fetch_weights.py"


rule train_fold:
    """Train one model with one seed without fold k, then predict fold k and the test split once."""
    input:
        samples=ancient(prepared("data/samples.parquet")),
        pixels=ancient(prepared("data/pixels.npy")),
        dataset=ancient(prepared("data/dataset.json")),
        folds=ancient(prepared("folds/folds.parquet")),
        folds_summary=ancient(prepared("folds/folds.json")),
        prompts=class_prompts,
        captions=captions_of,
        pretrained=pretrained_weights,
    output:
        weights="<results>/models/{model}/seed{seed}/fold{fold}/weights.safetensors",
        oof="<results>/models/{model}/seed{seed}/fold{fold}/oof.parquet",
        test="<results>/models/{model}/seed{seed}/fold{fold}/test.parquet",
        history="<results>/models/{model}/seed{seed}/fold{fold}/history.csv",
        run="<results>/models/{model}/seed{seed}/fold{fold}/run.json",
    log:
        "<results>/logs/train_fold/{model}/seed{seed}/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/train_fold/{model}/seed{seed}/fold{fold}.tsv"
    # Longest runs first, so that no card is left alone with the largest one at the end.
    priority: lambda wildcards: run_costs()[wildcards.model]
    threads: lambda wildcards: CONFIG["models"][wildcards.model]["threads"]
    resources:
        gpu=whole_cards,
        gpu_share=card_shares,
    params:
        code=lambda wildcards: code("train_fold.py", wildcards.model),
        config=lambda wildcards: configuration.canonical(configuration.training_slice(CONFIG, wildcards.model)),
        content=content,
        # They take `output` so that Snakemake does not track them: none changes what a run gives.
        tolerate=lambda wildcards, output: CONFIG["stack"]["quorum"] < 1,
        gpus=lambda wildcards, output: card_plan(wildcards.model),
        events=lambda wildcards, output: f"{RESULTS}/tensorboard/{wildcards.model}/seed{wildcards.seed}/fold{wildcards.fold}",
        # Checkpoints are not declared outputs, which Snakemake would delete before the job starts again.
        work=lambda wildcards: f"{RESULTS}/work",
        progress=lambda wildcards: f"{RESULTS}/work/progress/{wildcards.model}.seed{wildcards.seed}.fold{wildcards.fold}.json",
    script:
        "../workflow/scripts/train_fold.py"


rule plot_curves:
    """Picture the learning curves of all runs."""
    input:
        history=run_files("history.csv"),
        runs=run_files("run.json"),
    output:
        figure=report(
            "<results>/evaluation/learning_curves.svg",
            category="3 Training",
            labels={"figure": "Learning curves"},
            caption="../workflow/report/learning_curves.rst",
        ),
    log:
        "<results>/logs/plot_curves.log",
    params:
        code=code("plot_curves.py"),
    script:
        "../workflow/scripts/plot_curves.py"


rule plot_timings:
    """Picture when each run trained, and for how long."""
    input:
        runs=run_files("run.json"),
    output:
        figure=report(
            "<results>/evaluation/timings.svg",
            category="3 Training",
            labels={"figure": "Timings"},
            caption="../workflow/report/timings.rst",
        ),
    log:
        "<results>/logs/plot_timings.log",
    params:
        code=code("plot_timings.py"),
    script:
        "../workflow/scripts/plot_timings.py"
