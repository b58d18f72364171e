"""Embed the captions of all samples (rule embed_captions)."""

from foldstack import tables
from foldstack.jobs.job import job
from foldstack.text import captions, encoder


def main(snakemake):
    with job(snakemake):
        samples = tables.read_samples(snakemake.input.samples)
        texts, numbers = captions.distinct(samples)
        rows = encoder.tokens(snakemake.input.encoder, texts)
        vectors = encoder.embed(rows, encoder.read_encoder(snakemake.input.encoder))
        captions.write_captions(
            snakemake.output.captions, samples["sample_id"], numbers, vectors, *encoder.padded(rows)
        )
        print(f"{len(texts)} captions of {len(samples)} samples, at most {max(map(len, rows))} tokens")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
