"""ONNX files, and the gate that they must pass.

INPUTS   weights of all runs, stack/*
OUTPUTS  export/models/{model}.onnx, export/parity/{model}.json, export/stacker.txt, export/ensemble.json
"""


rule export_model:
    """All networks of one model, averaged over folds and seeds, with their preprocessing, as one ONNX file."""
    input:
        weights=lambda wildcards: run_files("weights.safetensors", [wildcards.model]),
        runs=lambda wildcards: run_files("run.json", [wildcards.model]),
        dataset=ancient(prepared("data/dataset.json")),
        folds_summary=ancient(prepared("folds/folds.json")),
    output:
        onnx="<results>/export/models/{model}.onnx",
    log:
        "<results>/logs/export_model/{model}.log",
    benchmark:
        "<results>/benchmarks/export_model/{model}.tsv"
    params:
        code=lambda wildcards: code("export_model.py", wildcards.model),
        content=content,
    script:
        "../workflow/scripts/export_model.py"


rule verify_export:
    """Compare the ONNX file with torch and with the pipeline's own test predictions; fail where they differ."""
    input:
        onnx="<results>/export/models/{model}.onnx",
        weights=lambda wildcards: run_files("weights.safetensors", [wildcards.model]),
        runs=lambda wildcards: run_files("run.json", [wildcards.model]),
        test=lambda wildcards: run_files("test.parquet", [wildcards.model]),
        samples=ancient(prepared("data/samples.parquet")),
        pixels=ancient(prepared("data/pixels.npy")),
        dataset=ancient(prepared("data/dataset.json")),
    output:
        parity="<results>/export/parity/{model}.json",
    log:
        "<results>/logs/verify_export/{model}.log",
    params:
        code=lambda wildcards: code("verify_export.py", wildcards.model),
        config=configuration.canonical(CONFIG["export"]),
        content=content,
    script:
        "../workflow/scripts/verify_export.py"


rule export_stack:
    """What `predict` needs beside the ONNX files: the stacker and how to combine the models."""
    input:
        stacker="<results>/stack/stacker.txt",
        stack="<results>/stack/stack.json",
        dataset=ancient(prepared("data/dataset.json")),
        folds_summary=ancient(prepared("folds/folds.json")),
    output:
        stacker="<results>/export/stacker.txt",
        ensemble="<results>/export/ensemble.json",
    log:
        "<results>/logs/export_stack.log",
    params:
        code=code("export_stack.py"),
        content=content,
    script:
        "../workflow/scripts/export_stack.py"
