"""ONNX files, and the gates that they must pass.

INPUTS   data/dataset.json, weights of all runs, stack/*, evaluation/metrics.json
OUTPUTS  export/ensemble.onnx, export/parity.json, export/MODEL_CARD.md;
         before them export/models/{model}.onnx, export/parity/{model}.json;
         before the runs export/traces/{model}.onnx, {model}.json
"""

# What of a model's config decides its graph, and what a training step keeps in memory.
TRACED = ("architecture", "options", "image_size", "tta", "temperature", "gradient_checkpointing", "text", "loss")
BEFORE_RUNS = 10**15  # seconds; the runs' priorities are their estimated times

# As `intermediate_files`, for the evaluation and the export.
INTERMEDIATE_EXPORTS = [
    *expand("<results>/export/traces/{model}.json", model=MEMBERS),
    "<results>/evaluation/metrics.json",
    *expand("<results>/export/models/{model}.onnx", model=MEMBERS),
    *expand("<results>/export/parity/{model}.json", model=MEMBERS),
    "<results>/export/parity.json",
]


rule traces:
    """The target to ask for: `snakemake traces`."""
    input:
        expand("<results>/export/traces/{model}.json", model=MEMBERS),


rule trace_model:
    """Trace and export a network with fresh weights, before the model's runs: what cannot be exported is not trained."""
    input:
        prepared_inputs("dataset"),
        prompts=lambda wildcards: PROMPTS_OF.get(wildcards.model, []),
    output:
        graph="<results>/export/traces/{model}.onnx",
        record="<results>/export/traces/{model}.json",
    log:
        "<results>/logs/trace_model/{model}.log",
    benchmark:
        "<results>/benchmarks/trace_model/{model}.tsv"
    # Above every run's. It is no input of a run: an edit of the export would train everything again.
    priority: BEFORE_RUNS
    resources:
        **needs("trace_model"),
    params:
        code=lambda wildcards: code("trace_model.py", wildcards.model),
        config=lambda wildcards: configuration.canonical(
            {key: CONFIG["models"][wildcards.model].get(key) for key in TRACED}
        ),
        shape=data_shape,
        results=lambda wildcards, output: RESULTS,  # not tracked, since it takes `output`
    script:
        "../workflow/scripts/trace_model.py"


rule export_model:
    """All networks of one model, averaged over folds and seeds, with their preprocessing, as one ONNX file."""
    input:
        prepared_inputs("dataset", "folds_summary"),
        graph="<results>/export/traces/{model}.onnx",
        weights=lambda wildcards: run_files("weights.safetensors", [wildcards.model]),
        runs=lambda wildcards: run_files("run.json", [wildcards.model]),
    output:
        onnx="<results>/export/models/{model}.onnx",
    log:
        "<results>/logs/export_model/{model}.log",
    benchmark:
        "<results>/benchmarks/export_model/{model}.tsv"
    resources:
        **needs("export_model"),
    params:
        code=lambda wildcards: code("export_model.py", wildcards.model),
        content=content,
    script:
        "../workflow/scripts/export_model.py"


rule verify_export:
    """Compare the ONNX file with torch and with the pipeline's own predictions; fail where they differ."""
    input:
        prepared_inputs("samples", "pixels", "dataset", "folds"),
        onnx="<results>/export/models/{model}.onnx",
        weights=lambda wildcards: run_files("weights.safetensors", [wildcards.model]),
        runs=lambda wildcards: run_files("run.json", [wildcards.model]),
        oof=lambda wildcards: run_files("oof.arrow", [wildcards.model]),
        test=lambda wildcards: run_files("test.arrow", [wildcards.model]),
    output:
        parity="<results>/export/parity/{model}.json",
    log:
        "<results>/logs/verify_export/{model}.log",
    benchmark:
        "<results>/benchmarks/verify_export/{model}.tsv"
    resources:
        **needs("verify_export"),
    params:
        code=lambda wildcards: code("verify_export.py", wildcards.model),
        config=configuration.canonical({key: CONFIG["export"][key] for key in ("samples", "tolerance")}),
        content=content,
    script:
        "../workflow/scripts/verify_export.py"


rule export_ensemble:
    """All networks, their preprocessing and the stacker as one ONNX file: what a user deploys."""
    input:
        prepared_inputs("dataset", "folds_summary"),
        models=expand("<results>/export/models/{model}.onnx", model=MEMBERS),
        runs=run_files("run.json"),
        stacker="<results>/stack/stacker.txt",
        stack="<results>/stack/stack.json",
        metrics="<results>/evaluation/metrics.json",
    output:
        onnx="<results>/export/ensemble.onnx",
    log:
        "<results>/logs/export_ensemble.log",
    benchmark:
        "<results>/benchmarks/export_ensemble.tsv"
    resources:
        **needs("export_ensemble"),
    params:
        code=code("export_ensemble.py"),
        config=configuration.canonical(CONFIG["export"]["licence"]),
        content=content,
    script:
        "../workflow/scripts/export_ensemble.py"


rule verify_ensemble:
    """Compare the one file with the pipeline's own predictions and with its parts; fail where they differ."""
    input:
        prepared_inputs("samples", "pixels", "dataset", "folds"),
        onnx="<results>/export/ensemble.onnx",
        models=expand("<results>/export/models/{model}.onnx", model=MEMBERS),
        verified=expand("<results>/export/parity/{model}.json", model=MEMBERS),
        runs=run_files("run.json"),
        oof=member_files("oof"),
        test=member_files("test"),
        stacker="<results>/stack/stacker.txt",
        stack="<results>/stack/stack.json",
        stack_test="<results>/stack/test.arrow",
    output:
        parity="<results>/export/parity.json",
    log:
        "<results>/logs/verify_ensemble.log",
    benchmark:
        "<results>/benchmarks/verify_ensemble.tsv"
    resources:
        **needs("verify_ensemble"),
    params:
        code=code("verify_ensemble.py"),
        config=configuration.canonical(
            {"export": {key: CONFIG["export"][key] for key in ("samples", "tolerance")}, "members": MEMBERS}
        ),
        content=content,
    script:
        "../workflow/scripts/verify_ensemble.py"


rule write_model_card:
    """The model card of the exported file: data, protocol, scores, limits, how to reproduce."""
    input:
        prepared_inputs("dataset"),
        onnx="<results>/export/ensemble.onnx",
        parity="<results>/export/parity.json",
        metrics="<results>/evaluation/metrics.json",
    output:
        card="<results>/export/MODEL_CARD.md",
    log:
        "<results>/logs/write_model_card.log",
    params:
        code=code("write_model_card.py"),
        config=decisive_slice(),
        content=content,
    script:
        "../workflow/scripts/write_model_card.py"
