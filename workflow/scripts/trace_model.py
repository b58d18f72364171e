"""Trace and export a model with fresh weights, before its runs (rule trace_model)."""

import json
from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.files import read_json, write_json
from foldstack.jobs import failed_trace
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        results, model, config = Path(snakemake.params.results), snakemake.wildcards.model, snakemake.params.config
        failed_trace.remove(results, model)
        from foldstack.export.early import trace_model

        config = json.loads(config)
        if snakemake.input.get("prompts"):
            from foldstack.text.reference import with_prompts

            config = with_prompts(config, snakemake.input.prompts[0], snakemake.input.prompts[1])
        try:
            trace, record = trace_model(model, config, read_json(snakemake.input.dataset))
        except FoldstackError as error:
            failed_trace.note(results, model, str(error))
            raise
        trace.save(snakemake.output.graph)
        write_json(snakemake.output.record, record)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
