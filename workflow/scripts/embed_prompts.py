"""Embed what each class is called, by a frozen text encoder (rule embed_prompts)."""

import functools
import json

from foldstack.jobs import job, read_json
from foldstack.text import bert, prompts


def main(smk):
    with job(smk):
        config, classes = json.loads(smk.params.config), read_json(smk.input.dataset)["classes"]
        texts = prompts.prompts(classes, config["templates"], config["names"])
        encoder, tokenizer = bert.read_bert(config["encoder"])
        vectors = prompts.class_vectors(texts, functools.partial(bert.embed, encoder=encoder, tokenizer=tokenizer))
        prompts.write_prompts(smk.output.prompts, classes, vectors)
        print(json.dumps(texts, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
