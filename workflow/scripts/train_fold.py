"""Train one model with one seed without one fold; predict that fold and the test set (rule train_fold)."""

import json
import os

from foldstack import reuse
from foldstack.devices import FAKE, claim
from foldstack.failures import failure_recorded
from foldstack.jobs import job, read_json
from foldstack.progress import run_reporter


def main(smk):
    with job(smk):
        outputs = {key: smk.output[key] for key in ("weights", "oof", "test", "history", "run")}
        report = run_reporter(smk.params.progress)
        run = {
            "model": smk.wildcards.model,
            "seed": int(smk.wildcards.seed),
            "fold": int(smk.wildcards.fold),
            "config": json.loads(smk.params.config),
            "code": list(smk.params.get("code", [])),
        }
        data, folds = (read_json(smk.input[key])["digest"] for key in ("dataset", "folds_summary"))
        kept = reuse.restore(smk.params.work, reuse.identity(**run, data=data, folds=folds), outputs)
        if kept is not None:
            print(f"taken up again: this very run was finished on {kept['finished']}, nothing was trained")
            report(epoch=kept["epochs_run"], epochs=run["config"]["epochs"], seconds_left=0, reused=True)
            return
        with failure_recorded(smk), claim(int(smk.resources.gpu)) as device:
            # Imports torch, which must see the claimed cards only.
            from foldstack.launcher import train_on, world_size

            train_on(
                world_size(int(smk.resources.gpu)),
                **run,
                samples=smk.input.samples,
                pixels=smk.input.pixels,
                dataset=smk.input.dataset,
                folds=smk.input.folds,
                folds_summary=smk.input.folds_summary,
                outputs=outputs,
                work=smk.params.work,
                device="cpu" if FAKE in os.environ else device,  # nothing computes on a fake card
                threads=int(smk.threads),
                progress=smk.params.progress,
            )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 (provided by Snakemake)
