"""Embed what each class is called (rule embed_prompts)."""

import json

from foldstack.jobs import job, read_json
from foldstack.text import encoder, prompts


def main(smk):
    with job(smk):
        config, classes = json.loads(smk.params.config), read_json(smk.input.dataset)["classes"]
        texts = prompts.prompts(classes, config["templates"], config["names"])
        rows = encoder.tokens(smk.input.encoder, [text for own in texts.values() for text in own])
        vectors = encoder.embed(rows, encoder.read_encoder(smk.input.encoder))
        prompts.write_prompts(smk.output.prompts, classes, prompts.class_vectors(texts, vectors.numpy()))
        print(json.dumps(texts, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
