"""Train one model with one seed without one fold; predict that fold and the test set (rule train_fold)."""

import json
import os
from pathlib import Path

from foldstack.files import read_json
from foldstack.gpus import costs
from foldstack.gpus.claim import claim
from foldstack.jobs import tensorboard
from foldstack.jobs.failed_run import failure_recorded
from foldstack.jobs.job import job
from foldstack.jobs.progress import run_reporter
from foldstack.reruns import finished_runs
from foldstack.training.distributed import world_size
from foldstack.training.launcher import torch_device


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
        if smk.input.get("prompts"):
            from foldstack.text.reference import with_prompts

            run["config"] = with_prompts(run["config"], *smk.input.prompts[:2], smk.input.get("captions"))
        weights = smk.input.get("pretrained")
        if weights:  # their content decides, wherever they came from
            run["config"]["pretrained"] = read_json(weights[1])["sha256"]
        data, folds = (read_json(smk.input[key])["digest"] for key in ("dataset", "folds_summary"))
        kept = finished_runs.restore(smk.params.work, finished_runs.identity(**run, data=data, folds=folds), outputs)
        if kept is not None:
            print(f"taken up again: this very run was finished on {kept['finished']}, nothing was trained")
            report(epoch=kept["epochs_run"], epochs=run["config"]["epochs"], seconds_left=0, reused=True)
            tensorboard.write_history(outputs["history"], kept["finished"], smk.params.events)
            return
        print(f"CUDA_VISIBLE_DEVICES as the job found it: {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}")
        with failure_recorded(smk), claimed_cards(smk, report) as claimed:
            # Imports torch, which must see the claimed cards only.
            from foldstack.training.launcher import train_on

            train_on(
                world_size(run["config"]["gpus"]),
                **run,
                samples=smk.input.samples,
                pixels=smk.input.pixels,
                dataset=smk.input.dataset,
                folds=smk.input.folds,
                folds_summary=smk.input.folds_summary,
                pretrained=weights[0] if weights else None,
                outputs=outputs,
                work=smk.params.work,
                device=torch_device(claimed),
                threads=int(smk.threads),
                progress=smk.params.progress,
                events=smk.params.events,
            )


def claimed_cards(smk, report):
    """The run's cards, whole ones or a share of one; those who wait for it read its name."""
    plan, wildcards = json.loads(smk.params.gpus), smk.wildcards
    results = Path(smk.params.work).parent
    return claim(
        int(smk.resources.gpu) or int(smk.resources.gpu_share > 0),
        plan,
        memory=costs.peak_memory(results, wildcards.model) if plan["share"] > 1 else 0,
        what=f"{wildcards.model} seed {wildcards.seed} fold {wildcards.fold}",
        say=lambda text: (print(text, flush=True), report(waiting=text)),
    )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 (provided by Snakemake)
