"""Predictions on new data, from the exported file alone.

INPUTS   export/ensemble.onnx, the images named by `predict.path`
OUTPUTS  predictions/predictions.csv, predictions/quarantine.csv, predictions/intake.json
"""


rule predict:
    """The target to ask for: `snakemake predict`."""
    input:
        "<results>/predictions/predictions.csv",
        intermediate_files(),
        INTERMEDIATE_EXPORTS,


rule predict_new:
    """Label every new image with the exported ensemble."""
    input:
        onnx="<results>/export/ensemble.onnx",
        parity="<results>/export/parity.json",
    output:
        predictions="<results>/predictions/predictions.csv",
        quarantine="<results>/predictions/quarantine.csv",
        intake="<results>/predictions/intake.json",
    log:
        "<results>/logs/predict_new.log",
    benchmark:
        "<results>/benchmarks/predict_new.tsv"
    params:
        code=code("predict_new.py"),
        config=slice_of("predict"),
        source=SOURCES["predict"],
    script:
        "../workflow/scripts/predict_new.py"
