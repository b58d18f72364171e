"""What a text encoder says of the classes, for models that compare images with text.

INPUTS   data/dataset.json, the encoder's folder or its name in the Hugging Face hub
OUTPUTS  encoders/{encoder}/, {encoder}.json; prompts/{model}.safetensors
"""

from foldstack.text import settings as texts

ENCODERS = {
    texts.slug(block["text"]["encoder"]): block["text"]["encoder"]
    for block in CONFIG["models"].values()
    if block.get("text")
}


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
    wildcard_constraints:
        encoder="|".join(map(re.escape, ENCODERS)) or "none",
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
