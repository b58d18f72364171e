"""Score every model, seed, blend and stack; write the leaderboard, the figures and the summary (rule evaluate)."""

import json

from foldstack import tables
from foldstack.ensemble import quorum
from foldstack.ensemble.members import read_members, read_methods
from foldstack.evaluation import evaluate
from foldstack.evaluation.contenders import contenders
from foldstack.files import read_json, write_csv, write_json, write_text
from foldstack.folds import proof
from foldstack.jobs.job import job
from foldstack.report.summary import summary


def main(snakemake):
    with job(snakemake):
        config = json.loads(snakemake.params.config)
        dataset = read_json(snakemake.input.dataset)
        classes, samples = dataset["classes"], tables.read_samples(snakemake.input.samples)
        stack = read_json(snakemake.input.stack)
        left_out = stack["left_out"]
        seeds = quorum.without(config["members"], left_out)
        oof_paths, test_paths = quorum.present(snakemake.input.oof, snakemake.input.test)
        made_from = proof.check_all(snakemake.input, oof_paths, test_paths, samples, dataset)
        members = read_members(oof_paths, test_paths, seeds, samples, classes)
        records = [read_json(path) for path in quorum.whole_members(snakemake.input.runs)]
        rows = contenders(
            members,
            read_methods(snakemake.input.stack_oof, members.sample_ids, classes),
            read_methods(snakemake.input.stack_test, members.test_ids, classes),
            records,
        )
        found = evaluate.Evaluation(rows, members, records, stack, config["evaluation"])
        board, figures = found.leaderboard(), found.by_name()
        figures |= {"proof": made_from}
        figures |= {key: dataset[key] for key in ("duplicates", "near_duplicates", "two_labels")}
        figures |= {"left_out": quorum.described(left_out, snakemake.input.runs)}
        figures |= {"cautions": read_json(snakemake.input.folds_summary)["cautions"]}

        write_csv(snakemake.output.leaderboard, board)
        write_json(snakemake.output.metrics, figures)
        write_text(snakemake.output.summary, summary(figures))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
