"""What a text encoder says of the classes and of the samples' captions, for models that compare images with text.

INPUTS   data/dataset.json, data/samples.parquet; the encoder's folder or its name in the Hugging Face hub; runs
OUTPUTS  encoders/{encoder}/, {encoder}.json; prompts/{model}.safetensors; captions/{encoder}.safetensors;
         evaluation/retrieval.csv; export/dual/{model}/
"""


rule fetch_encoder:
    """Bring a text encoder into one folder: besides fetch_weights the only job that may need the internet."""
    input:
        source=lambda wildcards: texts.local_files(ENCODERS[wildcards.encoder]),
    output:
        folder=directory("<results>/encoders/{encoder}"),
        record="<results>/encoders/{encoder}.json",
    log:
        "<results>/logs/fetch_encoder/{encoder}.log",
    params:
        code=code("fetch_encoder.py"),
        config=lambda wildcards: configuration.canonical(ENCODERS[wildcards.encoder]),
    script:
        "../workflow/scripts/fetch_encoder.py"


rule embed_prompts:
    """Embed the prompts of each class, once for all folds and seeds."""
    input:
        encoder=encoder_of,
        dataset=ancient(prepared("data/dataset.json")),
    output:
        prompts="<results>/prompts/{model}.safetensors",
    log:
        "<results>/logs/embed_prompts/{model}.log",
    params:
        code=code("embed_prompts.py"),
        config=lambda wildcards: configuration.canonical(CONFIG["models"][wildcards.model]["text"]),
        content=content,
    script:
        "../workflow/scripts/embed_prompts.py"


rule embed_captions:
    """Embed the captions of all samples, once for all models with this encoder."""
    input:
        encoder="<results>/encoders/{encoder}",
        samples=ancient(prepared("data/samples.parquet")),
    output:
        captions="<results>/captions/{encoder}.safetensors",
    log:
        "<results>/logs/embed_captions/{encoder}.log",
    params:
        code=code("embed_captions.py"),
        content=content,
    script:
        "../workflow/scripts/embed_captions.py"


rule tabulate_retrieval:
    """How well held-out images find their captions and captions their images."""
    input:
        runs=run_files("run.json", CAPTIONED) if CAPTIONED else [],
        oof=run_files("oof.parquet", CAPTIONED) if CAPTIONED else [],
        test=run_files("test.parquet", CAPTIONED) if CAPTIONED else [],
        samples=ancient(prepared("data/samples.parquet")),
        dataset=ancient(prepared("data/dataset.json")),
    output:
        table="<results>/evaluation/retrieval.csv",
    log:
        "<results>/logs/tabulate_retrieval.log",
    params:
        code=code("tabulate_retrieval.py"),
        config=configuration.canonical(CONFIG["evaluation"]),
        content=content,
    script:
        "../workflow/scripts/tabulate_retrieval.py"


rule dual:
    """The target to ask for: `snakemake dual`."""
    input:
        dual_folders,


rule export_dual:
    """A model's two halves, images and texts to features that can be compared, as two ONNX files."""
    input:
        runs=lambda wildcards: run_files("run.json", [wildcards.model]),
        weights=lambda wildcards: run_files("weights.safetensors", [wildcards.model]),
        encoder=encoder_of,
    output:
        folder=directory("<results>/export/dual/{model}"),
    log:
        "<results>/logs/export_dual/{model}.log",
    params:
        code=lambda wildcards: code("export_dual.py", wildcards.model),
        config=configuration.canonical(CONFIG["export"]["tolerance"]),
    script:
        "../workflow/scripts/export_dual.py"
