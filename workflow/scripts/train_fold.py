"""Train one model with one seed without one fold; predict that fold and the test set (rule train_fold)."""

import json
import os

from foldstack import reuse
from foldstack.devices import claim
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
        print(f"CUDA_VISIBLE_DEVICES as the job found it: {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}")
        with failure_recorded(smk), claim(int(smk.resources.gpu)) as device:
            if device == "cpu" and smk.resources.gpu:
                print(f"asked for {smk.resources.gpu} card(s), but CUDA can use none here: trains on the CPU")
            from foldstack.training import train_fold  # imports torch, which must see the claimed cards only

            train_fold(
                **run,
                samples=smk.input.samples,
                pixels=smk.input.pixels,
                dataset=smk.input.dataset,
                folds=smk.input.folds,
                folds_summary=smk.input.folds_summary,
                outputs=outputs,
                work=smk.params.work,
                device=device,
                threads=int(smk.threads),
                report=report,
            )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 (provided by Snakemake)
