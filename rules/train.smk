"""Base models: one job is one run (model, seed, fold).

INPUTS   data/*, folds/*; a file of weights or timm's hub, for models with `pretrained`
OUTPUTS  pretrained/{model}.safetensors, {model}.json
         models/{model}/seed{seed}/fold{fold}/: weights.safetensors, oof.arrow, test.arrow, history.csv, run.json
"""

from foldstack.models import pretrained

WEIGHTS_OF = {  # what decides the weights that a model starts from
    name: {
        "architecture": registry.starts_from(block["architecture"], block["options"]),
        "pretrained": block["pretrained"],
    }
    for name, block in CONFIG["models"].items()
}
PRETRAINED_OF = {
    name: [f"{RESULTS}/pretrained/{name}.{kind}" for kind in ("safetensors", "json")]
    for name in MEMBERS
    if CONFIG["models"][name]["pretrained"]
}

GIVEN_TO_RUNS = {"prompts": PROMPTS_OF, "captions": CAPTIONS_OF, "pretrained": PRETRAINED_OF}


rule fetch_weights:
    """Bring the weights that a model starts from into one file: besides fetch_encoder the only job that may need the internet."""
    input:
        source=lambda wildcards: pretrained.local_file(CONFIG["models"][wildcards.model]["pretrained"]) or [],
    output:
        weights="<results>/pretrained/{model}.safetensors",
        record="<results>/pretrained/{model}.json",
    log:
        "<results>/logs/fetch_weights/{model}.log",
    params:
        code=code("fetch_weights.py"),
        config=lambda wildcards: configuration.canonical(WEIGHTS_OF[wildcards.model]),
    script:
        "../workflow/scripts/fetch_weights.py"


rule train_fold:
    """Train one model with one seed on all folds but k, then predict fold k and the test split once."""
    input:
        prepared_inputs("samples", "pixels", "dataset", "folds", "folds_summary"),
        unpack(lambda wildcards: {name: of.get(wildcards.model, []) for name, of in GIVEN_TO_RUNS.items()}),
    output:
        weights="<run>/weights.safetensors",
        oof="<run>/oof.arrow",
        test="<run>/test.arrow",
        history="<run>/history.csv",
        run="<run>/run.json",
    log:
        "<results>/logs/train_fold/{model}/seed{seed}/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/train_fold/{model}/seed{seed}/fold{fold}.tsv"
    # Longest runs first, so that no GPU is left alone with the largest one at the end.
    priority: lambda wildcards: run_costs()[wildcards.model]
    threads: lambda wildcards: CONFIG["models"][wildcards.model]["threads"]
    resources:
        **needs("train_fold"),
        gpu=lambda wildcards: whole_gpus(CONFIG["models"][wildcards.model]),
        gpu_share=lambda wildcards: gpu_shares(CONFIG["models"][wildcards.model]),
    params:
        **run_places(RESULTS, "{model}/seed{seed}/fold{fold}"),
        code=lambda wildcards: code("train_fold.py", wildcards.model),
        config=lambda wildcards: slice_of_run(wildcards.model),
        content=content,
        # They take `output` so that Snakemake does not track them: none changes a run's result.
        tolerate=lambda wildcards, output: CONFIG["stack"]["quorum"] < 1,
        gpus=lambda wildcards, output: gpu_plan(CONFIG["models"][wildcards.model]),
    script:
        "../workflow/scripts/train_fold.py"


rule plot_curves:
    """Draw the learning curves of all runs."""
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
    """Draw when each run trained, and for how long."""
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
