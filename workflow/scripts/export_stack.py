"""Copy what `predict` needs of the stack into the export folder (rule export_stack)."""

from pathlib import Path

from foldstack import proof
from foldstack.jobs import job, read_json, write_json, write_text
from foldstack.predict import describe_ensemble


def main(smk):
    with job(smk):
        stacker = Path(smk.input.stacker).read_text(encoding="utf-8")
        stack, dataset = read_json(smk.input.stack), read_json(smk.input.dataset)
        proof.check_versions(stack, smk.input.stack, dataset, read_json(smk.input.folds_summary))
        ensemble = describe_ensemble(stack, dataset, stacker)
        write_text(smk.output.stacker, stacker)
        write_json(smk.output.ensemble, ensemble)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
