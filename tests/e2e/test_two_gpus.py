"""`gpus: auto` through a real snakemake, on stand-in GPUs: leased, started, trained together, written once."""

import json

from foldstack.models.network import load_classifier

NET = {"architecture": "small_cnn", "options": {"width": 4}, "batch_size": 64, "lr": 0.001}


def test_a_run_takes_the_gpus_that_it_is_given(project, tmp_path):
    config = {
        "experiment": "gpus",
        "data": {"format": "digits"},
        "folds": {"n_splits": 2},
        "training": {"epochs": 2},
        "models": {"all": NET | {"gpus": "auto"}},
    }
    made = project(config)
    # Indices of stand-in GPUs, as a parent would set them; a lease turns them into names.
    gpus = {"FOLDSTACK_FAKE_GPUS": "A,B,C", "CUDA_VISIBLE_DEVICES": "0,2"}
    gpus["FOLDSTACK_LEASES"] = str(tmp_path / "leases")
    runs = {name: f"results/gpus/models/{name}/seed0/fold0/run.json" for name in config["models"]}
    made.run(*runs.values(), "--resources", "gpu=2", env=gpus)
    for name, size in {"all": 2}.items():
        run = json.loads((made.folder / runs[name]).read_text())
        assert (run["world_size"], run["effective_batch"]) == (size, 64 * size)
        assert run["gpus"] == "A,C"
        assert run["peak_lr"] == 0.001 * size**0.5
        load_classifier((made.folder / runs[name]).with_name("weights.safetensors"))
        assert "Traceback" not in (made.results / f"logs/train_fold/{name}/seed0/fold0.log").read_text()
