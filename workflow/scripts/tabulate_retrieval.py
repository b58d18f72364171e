"""Table how well images find their captions and captions their images (rule tabulate_retrieval)."""

import json

from foldstack import tables
from foldstack.ensemble import quorum
from foldstack.evaluation import retrieval
from foldstack.files import read_json, write_csv
from foldstack.jobs.job import job
from foldstack.runs import beside


def main(snakemake):
    with job(snakemake):
        classes, runs = read_json(snakemake.input.dataset)["classes"], []
        captions = tables.read_samples(snakemake.input.samples).set_index("sample_id")["caption"]
        for path in quorum.whole_members(snakemake.input.runs):
            model = read_json(path)["model"]
            for part in ("oof", "test"):
                table = tables.read_predictions(beside(path, part), classes)
                runs.append((model, part, table.assign(caption=captions.loc[table["sample_id"]].to_numpy())))
        table = retrieval.table(runs, json.loads(snakemake.params.config))
        write_csv(snakemake.output.table, table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
