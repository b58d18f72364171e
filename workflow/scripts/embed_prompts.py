"""Embed what each class is called (rule embed_prompts)."""

import json

import numpy as np

from foldstack.files import read_json
from foldstack.jobs.job import job
from foldstack.text import encoder, prompts


def main(smk):
    with job(smk):
        config, classes = json.loads(smk.params.config), read_json(smk.input.dataset)["classes"]
        texts = prompts.prompts(classes, config["templates"], config["names"])
        rows = encoder.tokens(smk.input.encoder, [text for own in texts.values() for text in own])
        vectors = encoder.embed(rows, encoder.read_encoder(smk.input.encoder))
        tokens = {}
        if config["train"] != "frozen":
            ids, mask = encoder.padded(rows)
            owner = np.repeat(np.arange(len(texts)), [len(own) for own in texts.values()])
            tokens = {"ids": ids.numpy(), "mask": mask.numpy(), "owner": owner}
        prompts.write_prompts(smk.output.prompts, classes, prompts.class_vectors(texts, vectors.numpy()), **tokens)
        print(json.dumps(texts, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
