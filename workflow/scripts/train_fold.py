"""Train one model with one seed without one fold; predict that fold and the test set (rule train_fold)."""

import json

from foldstack.devices import claim
from foldstack.failures import failure_recorded
from foldstack.jobs import job
from foldstack.progress import run_reporter


def main(smk):
    with job(smk), failure_recorded(smk), claim(int(smk.resources.gpu)) as device:
        from foldstack.training import train_fold  # imports torch, which must see the claimed cards only

        train_fold(
            samples=smk.input.samples,
            pixels=smk.input.pixels,
            dataset=smk.input.dataset,
            folds=smk.input.folds,
            folds_summary=smk.input.folds_summary,
            model=smk.wildcards.model,
            seed=int(smk.wildcards.seed),
            fold=int(smk.wildcards.fold),
            config=json.loads(smk.params.config),
            code=list(smk.params.get("code", [])),
            outputs={key: smk.output[key] for key in ("weights", "oof", "test", "history", "run")},
            work=smk.params.work,
            device=device,
            threads=int(smk.threads),
            report=run_reporter(smk.params.progress),
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 (provided by Snakemake)
