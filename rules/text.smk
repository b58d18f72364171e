"""Vectors of the classes and of the samples' captions by a text encoder, for models that compare images with text.

INPUTS   data/dataset.json, data/samples.parquet; the encoder's folder or its name in the Hugging Face hub; runs
OUTPUTS  encoders/{encoder}/, {encoder}.json; prompts/{model}.safetensors; captions/{encoder}.safetensors;
         export/dual/{model}/
"""

from foldstack.text import settings as texts

TEXTS = {name: CONFIG["models"][name]["text"] for name in MEMBERS if CONFIG["models"][name].get("text")}
ENCODERS = {texts.slug(text["encoder"]): text["encoder"] for text in TEXTS.values()}
DUAL_MODELS = [name for name, text in TEXTS.items() if text["train"] == "frozen"]
CAPTIONED = [name for name, text in TEXTS.items() if text["captions"]]

# What the runs of each model read, those of a check too: the folder of its encoder, the embedded captions of all
# samples, and its prompts with the encoder's record; where the encoder is trained as well, the encoder itself.
ENCODER_OF = {name: f"{RESULTS}/encoders/{texts.slug(text['encoder'])}" for name, text in TEXTS.items()}
CAPTIONS_OF = {name: f"{RESULTS}/captions/{texts.slug(TEXTS[name]['encoder'])}.safetensors" for name in CAPTIONED}
PROMPTS_OF = {
    name: [
        f"{RESULTS}/prompts/{name}.safetensors",
        f"{ENCODER_OF[name]}.json",
        *([] if name in DUAL_MODELS else [ENCODER_OF[name]]),
    ]
    for name in TEXTS
}


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
        prepared_inputs("dataset"),
        encoder=lambda wildcards: ENCODER_OF[wildcards.model],
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
        prepared_inputs("samples"),
        encoder="<results>/encoders/{encoder}",
    output:
        captions="<results>/captions/{encoder}.safetensors",
    log:
        "<results>/logs/embed_captions/{encoder}.log",
    params:
        code=code("embed_captions.py"),
        content=content,
    script:
        "../workflow/scripts/embed_captions.py"


rule dual:
    """The target to ask for: `snakemake dual`."""
    input:
        dual_folders,


rule export_dual:
    """A model's two halves, images and texts to features that can be compared, as two ONNX files."""
    input:
        runs=lambda wildcards: run_files("run.json", [wildcards.model]),
        weights=lambda wildcards: run_files("weights.safetensors", [wildcards.model]),
        encoder=lambda wildcards: ENCODER_OF[wildcards.model],
    output:
        folder=directory("<results>/export/dual/{model}"),
    log:
        "<results>/logs/export_dual/{model}.log",
    params:
        code=lambda wildcards: code("export_dual.py", wildcards.model),
        config=configuration.canonical(CONFIG["export"]["tolerance"]),
    script:
        "../workflow/scripts/export_dual.py"
