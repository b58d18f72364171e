"""`gpus: 2` through a real snakemake, on two stand-in cards: leased, started, trained together, written once."""

import json

import pytest

from foldstack.network import load_classifier

RUN = "models/net/seed0/fold0/run.json"
NET = {"architecture": "small_cnn", "options": {"width": 4}, "batch_size": 64, "lr": 0.001}


@pytest.mark.parametrize(("asked", "limit", "size"), [(2, 0, 2), ("auto", 3, 3)])
def test_a_run_takes_the_cards_that_it_is_given(project, asked, limit, size, tmp_path):
    """With `--resources gpu=0` it has as many processes on the CPU, so that it learns the same."""
    config = {
        "experiment": "cards",
        "data": {"format": "digits"},
        "folds": {"n_splits": 2},
        "training": {"epochs": 2},
        "models": {"net": NET | {"gpus": asked}},
    }
    made = project(config)
    # Indices of stand-in cards, as a parent would set them; a lease turns them into names.
    cards = {
        "FOLDSTACK_FAKE_GPUS": "A,B,C",
        "CUDA_VISIBLE_DEVICES": "0,1,2",
        "FOLDSTACK_LEASES": str(tmp_path / "leases"),
    }
    made.run(f"results/cards/{RUN}", "--resources", f"gpu={limit}", env=cards)
    run = json.loads((made.results / RUN).read_text())
    assert (run["world_size"], run["effective_batch"]) == (size, 64 * size)
    assert run["peak_lr"] == 0.001 * size**0.5
    assert run["config"]["gpus"] == asked
    load_classifier((made.results / RUN).with_name("weights.safetensors"))
    log = (made.results / "logs/train_fold/net/seed0/fold0.log").read_text()
    assert "Traceback" not in log
