"""Train one network on the stack's out-of-fold predictions, without one fold or on all samples (rule train_student)."""

import hashlib
import json
from pathlib import Path

from foldstack.files import read_json
from foldstack.gpus.claim import claim
from foldstack.jobs import tensorboard
from foldstack.jobs.job import job
from foldstack.jobs.progress import run_reporter
from foldstack.reruns import finished_runs
from foldstack.training.distributed import world_size
from foldstack.training.launcher import torch_device

NAME = "student"


def main(smk):
    with job(smk):
        outputs = {key: smk.output[key] for key in ("weights", "oof", "test", "history", "run")}
        stack, config = read_json(smk.input.stack), json.loads(smk.params.config)
        # What it learns from decides the result as the config does, so it stands with it.
        learned = hashlib.sha256(Path(smk.input.stack_oof).read_bytes()).hexdigest()
        config |= {"soft_labels": f"{stack['method']} {learned[:16]}"}
        run = {"model": NAME, "seed": config["seeds"][0], "fold": int(smk.wildcards.fold), "config": config}
        run |= {"code": list(smk.params.get("code", []))}
        data, folds = (read_json(smk.input[key])["digest"] for key in ("dataset", "folds_summary"))
        kept = finished_runs.restore(smk.params.work, finished_runs.identity(**run, data=data, folds=folds), outputs)
        if kept is not None:
            print("taken up again: this very run was finished before, nothing was trained")
            tensorboard.write_history(outputs["history"], kept["finished"], smk.params.events)
            return
        report = run_reporter(smk.params.progress)
        plan, what = json.loads(smk.params.gpus), f"student, fold {run['fold']}"
        with claim(int(smk.resources.gpu), plan, what=what, say=lambda text: report(waiting=text)) as claimed:
            # Imports torch, which must see the claimed cards only.
            from foldstack.training.launcher import train_on

            train_on(
                world_size(config["gpus"]),
                **run,
                samples=smk.input.samples,
                pixels=smk.input.pixels,
                dataset=smk.input.dataset,
                folds=smk.input.folds,
                folds_summary=smk.input.folds_summary,
                outputs=outputs,
                work=smk.params.work,
                device=torch_device(claimed),
                threads=int(smk.threads),
                progress=smk.params.progress,
                events=smk.params.events,
                soft_labels=(smk.input.stack_oof, stack["method"]),
            )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 (provided by Snakemake)
