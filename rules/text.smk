"""What a frozen text encoder says of the classes, for models that compare images with text.

INPUTS   data/dataset.json, the encoder's folder
OUTPUTS  prompts/{model}.safetensors
"""

ENCODER_FILES = ("config.json", "model.safetensors", "vocab.txt")


rule embed_prompts:
    """Embed the prompts of each class, once for all folds and seeds."""
    input:
        encoder=lambda wildcards: [
            f"{CONFIG['models'][wildcards.model]['text']['encoder']}/{name}" for name in ENCODER_FILES
        ],
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
