"""Smaller and faster forms of export/ensemble.onnx, each with its own gate (`snakemake variants`).

INPUTS   export/ensemble.onnx, export/models/*, stack/*, oof/*, data/*
OUTPUTS  export/variants/{variant}.onnx (0 bytes where it failed its gate), {variant}.json; export/variants.csv, .svg
"""

KINDS = [*CONFIG["variants"]["kinds"], *(["student"] if STUDENT else [])]
ARCHITECTURE_OF = (
    {"student": STUDENT["architecture"]} if STUDENT else {}
)  # the other variants have no other architecture


rule variants:
    """The target to ask for: `snakemake variants`."""
    input:
        "<results>/export/variants.csv",
        "<results>/export/variants.svg",
        intermediate_files(),
        INTERMEDIATE_EXPORTS,


rule make_variant:
    """Write one smaller or faster form of the ensemble."""
    input:
        prepared_inputs("samples", "pixels", "dataset"),
        onnx="<results>/export/ensemble.onnx",
        parity="<results>/export/parity.json",
        models=expand("<results>/export/models/{model}.onnx", model=MEMBERS),
        stacker="<results>/stack/stacker.txt",
        stack="<results>/stack/stack.json",
        metrics="<results>/evaluation/metrics.json",
        oof=member_files("oof"),
        test=member_files("test"),
        student=lambda wildcards: expand(
            "<results>/student/fold{fold}/run.json", fold=[NO_HELD_OUT_FOLD] if wildcards.variant == "student" else []
        ),
    output:
        folder=temp(directory("<results>/work/variants/{variant}")),  # ensemble.onnx, and its weights if they are beside
    log:
        "<results>/logs/make_variant/{variant}.log",
    params:
        code=lambda wildcards: code("make_variant.py", architecture=ARCHITECTURE_OF.get(wildcards.variant)),
        config=configuration.canonical(
            {
                "variants": {key: CONFIG["variants"][key] for key in ("budget", "share")},
                "stack": CONFIG["stack"],
                "members": MEMBERS,
            }
        ),
        content=content,
    script:
        "../workflow/scripts/make_variant.py"


rule verify_variant:
    """Measure what a variant costs and saves; pass it on where it agrees with the full file."""
    input:
        prepared_inputs("samples", "pixels", "folds"),
        onnx="<results>/export/ensemble.onnx",
        candidate="<results>/work/variants/{variant}",
        stack="<results>/stack/stack.json",
        stack_oof="<results>/stack/oof.arrow",
        students=lambda wildcards: expand(
            "<results>/student/fold{fold}/run.json", fold=FOLDS if wildcards.variant == "student" else []
        ),
    output:
        onnx="<results>/export/variants/{variant}.onnx",
        report="<results>/export/variants/{variant}.json",
    log:
        "<results>/logs/verify_variant/{variant}.log",
    params:
        code=lambda wildcards: code("verify_variant.py", architecture=ARCHITECTURE_OF.get(wildcards.variant)),
        config=configuration.canonical(
            {
                "min_agreement": CONFIG["variants"]["min_agreement"],
                "bootstrap": CONFIG["evaluation"]["bootstrap"],
                "seed": CONFIG["evaluation"]["seed"],
            }
        ),
        content=content,
    script:
        "../workflow/scripts/verify_variant.py"


rule compare_variants:
    """All forms of the ensemble in a table and a figure, to choose from."""
    input:
        reports=expand("<results>/export/variants/{variant}.json", variant=KINDS),
    output:
        table="<results>/export/variants.csv",
        figure="<results>/export/variants.svg",
    log:
        "<results>/logs/compare_variants.log",
    params:
        code=code("compare_variants.py"),
        config=configuration.canonical(KINDS),
    script:
        "../workflow/scripts/compare_variants.py"
