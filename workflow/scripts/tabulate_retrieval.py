"""Table how well images find their captions and captions their images (rule tabulate_retrieval)."""

import json

from foldstack import tables
from foldstack.ensemble import quorum
from foldstack.evaluation import retrieval
from foldstack.files import read_json, write_csv
from foldstack.jobs.job import job
from foldstack.runs import beside


def main(smk):
    with job(smk):
        classes, runs = read_json(smk.input.dataset)["classes"], []
        captions = tables.read_samples(smk.input.samples).set_index("sample_id")["caption"]
        for path in quorum.whole_members(smk.input.runs):
            model = read_json(path)["model"]
            for part in ("oof", "test"):
                table = tables.read_predictions(beside(path, part), classes)
                runs.append((model, part, table.assign(caption=captions.loc[table["sample_id"]].to_numpy())))
        table = retrieval.table(runs, json.loads(smk.params.config))
        write_csv(smk.output.table, table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
