"""Predictions on new data, from the exported files alone.

INPUTS   export/*, the images named by `predict.path`
OUTPUTS  predictions/predictions.csv, predictions/quarantine.csv
"""


rule predict:
    """The target to ask for: `snakemake predict`."""
    input:
        "<results>/predictions/predictions.csv",


rule predict_new:
    """Label every new image with the exported ensemble."""
    input:
        onnx=expand("<results>/export/models/{model}.onnx", model=MEMBERS),
        parity=expand("<results>/export/parity/{model}.json", model=MEMBERS),
        stacker="<results>/export/stacker.txt",
        ensemble="<results>/export/ensemble.json",
    output:
        predictions="<results>/predictions/predictions.csv",
        quarantine="<results>/predictions/quarantine.csv",
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
