"""Does anything score above chance with shuffled labels? (rule check_chance)"""

import json

from foldstack import tables
from foldstack.data import ties
from foldstack.ensemble.members import read_methods, read_stacked
from foldstack.evaluation import leakcheck
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        seeds = json.loads(snakemake.params.config)["members"]
        samples, classes = tables.read_samples(snakemake.input.samples), read_json(snakemake.input.dataset)["classes"]
        members = read_stacked(snakemake.input, seeds, read_json(snakemake.input.stack), samples, classes)
        predicted = {f"{model} seed {seed}": values for (model, seed), values in members.oof.items()}
        predicted |= read_methods(snakemake.input.stack_oof, members.sample_ids, classes)

        training = samples.set_index("sample_id").loc[members.sample_ids].reset_index()
        tied = ties.of(training, tables.read_duplicates(snakemake.input.duplicates))
        truth = members.labels, members.folds
        scores = {
            name: leakcheck.against_chance(truth[0], values.argmax(axis=1), truth[1], tied)
            for name, values in predicted.items()
        }
        for name, score in scores.items():
            print(f"{name}: {score['accuracy']:.4f}, chance {score['low']:.4f} to {score['high']:.4f}")
        leakcheck.judge(scores)
        write_json(snakemake.output.scores, {"passed": True, "samples": len(training), "scores": scores})


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
