"""Does anything score above chance with shuffled labels? (rule check_chance)"""

import json

from foldstack import permutation, quorum, tables
from foldstack.data.ties import components, links
from foldstack.jobs import job, read_json, write_json
from foldstack.members import read_members, read_methods


def main(smk):
    with job(smk):
        seeds = json.loads(smk.params.config)["members"]
        samples, classes = tables.read_samples(smk.input.samples), read_json(smk.input.dataset)["classes"]
        seeds = quorum.without(seeds, read_json(smk.input.stack)["left_out"])
        members = read_members(*quorum.present(smk.input.oof, smk.input.test), seeds, samples, classes)
        predicted = {f"{model} seed {seed}": values for (model, seed), values in members.oof.items()}
        predicted |= read_methods(smk.input.stack_oof, members.sample_ids, classes)

        training = samples.set_index("sample_id").loc[members.sample_ids]
        linked = links(members.sample_ids, tables.read_duplicates(smk.input.duplicates))
        tied = components(training["group"].tolist(), training["view_hashes"].tolist(), linked)
        truth = members.labels, members.folds
        scores = {
            name: permutation.against_chance(truth[0], values.argmax(axis=1), truth[1], tied)
            for name, values in predicted.items()
        }
        for name, score in scores.items():
            print(f"{name}: {score['accuracy']:.4f}, chance {score['low']:.4f} to {score['high']:.4f}")
        permutation.judge(scores)
        write_json(smk.output.scores, {"passed": True, "samples": len(training), "scores": scores})


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
