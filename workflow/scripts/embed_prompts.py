"""Embed what each class is called (rule embed_prompts)."""

import json

import numpy as np

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.text import encoder, prompts


def main(snakemake):
    with job(snakemake):
        config, classes = json.loads(snakemake.params.config), read_json(snakemake.input.dataset)["classes"]
        texts = prompts.prompts(classes, config["templates"], config["names"])
        every = [text for own in texts.values() for text in own]
        rows = encoder.tokens(snakemake.input.encoder, every)
        for i in encoder.with_unknown_words(snakemake.input.encoder, rows):
            print(f"CAUTION: the text encoder does not know all words of {every[i]!r}; see text.names")
        vectors = encoder.embed(rows, encoder.read_encoder(snakemake.input.encoder))
        of_classes = prompts.class_vectors(texts, vectors.numpy())
        prompts.check_distinct(texts, of_classes)
        tokens = {}
        if config["train"] != "frozen":
            ids, mask = encoder.padded(rows)
            owner = np.repeat(np.arange(len(texts)), [len(own) for own in texts.values()])
            tokens = {"ids": ids.numpy(), "mask": mask.numpy(), "owner": owner}
        prompts.write_prompts(snakemake.output.prompts, classes, of_classes, **tokens)
        print(json.dumps(texts, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
