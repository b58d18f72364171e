"""Data stage.

INPUTS   the images named by `data.path`
OUTPUTS  data/samples.parquet, data/pixels.npy, data/dataset.json, data/duplicates.parquet,
         data/quarantine.csv, data/intake.json; three pictures of them
"""


rule prepare_data:
    """Read every image once: check it, decode it, and store it as memory-mapped pixels."""
    output:
        samples="<results>/data/samples.parquet",
        pixels="<results>/data/pixels.npy",
        dataset="<results>/data/dataset.json",
        duplicates="<results>/data/duplicates.parquet",
        quarantine="<results>/data/quarantine.csv",
        intake="<results>/data/intake.json",
    log:
        "<results>/logs/prepare_data.log",
    benchmark:
        "<results>/benchmarks/prepare_data.tsv"
    threads: workflow.cores or 4
    resources:
        **needs("prepare_data"),
    params:
        code=code("prepare_data.py"),
        config=slice_of("data"),
        source=SOURCES["data"],
    script:
        "../workflow/scripts/prepare_data.py"


rule plot_data:
    """Draw the samples: how many of each class, and what they look like."""
    input:
        prepared_inputs("samples", "pixels", "dataset"),
    output:
        counts=report(
            "<results>/data/class_counts.svg",
            category="2 Data and folds",
            labels={"figure": "Class counts"},
            caption="../workflow/report/class_counts.rst",
        ),
        contact_sheet=report(
            "<results>/data/contact_sheet.png",
            category="2 Data and folds",
            labels={"figure": "Contact sheet of samples"},
            caption="../workflow/report/contact_sheet.rst",
        ),
    log:
        "<results>/logs/plot_data.log",
    params:
        code=code("plot_data.py"),
        content=content,
    script:
        "../workflow/scripts/plot_data.py"


rule plot_duplicates:
    """Draw the pairs of identical and nearly equal samples."""
    input:
        prepared_inputs("samples", "pixels", "dataset", "duplicates"),
    output:
        figure=report(
            "<results>/data/duplicates.png",
            category="2 Data and folds",
            labels={"figure": "Duplicates"},
            caption="../workflow/report/duplicates.rst",
        ),
    log:
        "<results>/logs/plot_duplicates.log",
    params:
        code=code("plot_duplicates.py"),
        config=configuration.canonical(CONFIG["data"]["near_duplicates"]),
        content=content,
    script:
        "../workflow/scripts/plot_duplicates.py"
