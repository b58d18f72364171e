"""What a text encoder says of the classes and of the samples' captions, for models that compare images with text.

INPUTS   data/dataset.json, data/samples.parquet; the encoder's folder or its name in the Hugging Face hub; runs
OUTPUTS  encoders/{encoder}/, {encoder}.json; prompts/{model}.safetensors; captions/{encoder}.safetensors;
         evaluation/retrieval.csv
"""

from foldstack.text import settings as texts

ENCODERS = {
    texts.slug(block["text"]["encoder"]): block["text"]["encoder"]
    for block in CONFIG["models"].values()
    if block.get("text")
}

CAPTIONED = [name for name in MEMBERS if CONFIG["models"][name].get("text", {}).get("captions")]


def encoder_of(wildcards):
    """The folder of a model's text encoder."""
    return f"{RESULTS}/encoders/{texts.slug(CONFIG['models'][wildcards.model]['text']['encoder'])}"


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
