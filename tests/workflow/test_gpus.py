"""GPUs through Snakemake: limits, shares, order, errors before anything starts, two instances on one host."""

import json
import re
import threading
import time
from collections import Counter

import pytest
from project import TINY, Project

FAKE = {"FOLDSTACK_FAKE_GPUS": "A,B,C,D"}
SMALL = {"experiment": "x", "models": {"small_cnn": {}, "small_vit": {"share": 2}}}


def resources(text: str, model: str) -> dict[str, int]:
    """Of the first planned run of a model."""
    block = re.search(rf"wildcards: model={model},.*?resources: (.*?)$", text, re.DOTALL | re.MULTILINE)[1]
    return {key: int(value) for key, value in re.findall(r"(gpu\w*)=(\d+)", block)}


def test_shares_count_as_parts_of_a_gpu_and_the_limit_is_in_gpus(project):
    done = project(SMALL).run("-n", "--resources", "gpu=3", env=FAKE)
    text = done.stdout + done.stderr
    assert resources(text, "small_cnn") == {"gpu": 1, "gpu_share": 2}
    assert resources(text, "small_vit").get("gpu", 0) == 0
    assert resources(text, "small_vit")["gpu_share"] == 1


def test_no_gpu_allowed_means_the_cpu(project):
    text = project(SMALL).run("-n", "--resources", "gpu=0", env=FAKE).stdout
    for model in SMALL["models"]:
        assert not any(resources(text, model).values())


def test_longer_runs_come_first(project):
    models = {"brief": {"architecture": "small_cnn"}, "long": {"architecture": "small_cnn", "epochs": 50}}
    text = project({"experiment": "x", "models": models}).run("-n", env=FAKE).stdout
    priority = {
        model: float(value) for model, value in re.findall(r"wildcards: model=(\w+),.*?priority: ([\d.]+)", text, re.S)
    }
    assert priority["long"] > priority["brief"] > 0


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({"devices": [1, 7]}, [], r"devices: there is no GPU 7; this machine has 0 \(A\), 1 \(B\)"),
        ({"devices": []}, [], "devices"),
        ({"device": "cuda"}, ["--resources", "gpu=0"], "device: cuda, but"),
        ({"models": {"small_cnn": {"devices": ["Z"]}}}, [], r"models\.small_cnn\.devices: there is no GPU 'Z'"),
    ],
)
def test_gpus_that_are_not_there_are_an_error_before_anything_starts(project, change, arguments, message):
    done = project(SMALL | change).run(*arguments, env=FAKE, check=False)
    assert done.returncode != 0
    assert re.search(message, done.stdout + done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert not (done.stdout + done.stderr).count("rule train_fold")


def test_two_snakemakes_on_one_host_share_its_gpus(tmp_path):
    environment = FAKE | {"FOLDSTACK_LEASES": str(tmp_path / "leases")}
    projects = [Project(tmp_path / name, TINY | {"experiment": name}) for name in ("one", "two")]
    watched, over = watch(tmp_path / "leases")
    runs = [threading.Thread(target=all_runs, args=(project, environment)) for project in projects]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    full = over()
    gpus = Counter()
    for project in projects:
        records = [json.loads(path.read_text()) for path in project.results.glob("models/*/*/*/run.json")]
        assert len(records) == 4
        gpus.update(record["gpus"] for record in records)
    assert set(gpus) <= set("ABCD")
    assert len(gpus) > 1
    assert not full, "a GPU was leased twice at a time"
    assert max(watched) >= 2, "they ran at the same time"


def all_runs(project, environment):
    names = [
        f"results/{project.config['experiment']}/models/{model}/seed0/fold{fold}/run.json"
        for model in TINY["models"]
        for fold in (0, 1)
    ]
    project.run(*names, "--resources", "gpu=4", env=environment)


def watch(folder):
    """Look at the tickets until told to stop; (numbers of holders seen, function that ends it and returns clashes)."""
    seen, clashes, done = [0], [], threading.Event()

    def look():
        while not done.wait(0.02):
            held = Counter()
            for path in folder.glob("*.json"):
                try:
                    ticket = json.loads(path.read_text())
                except (OSError, ValueError):
                    continue
                if ticket["holds"]:
                    held.update(dict.fromkeys(ticket["gpus"], ticket["part"]))
            seen.append(len(held))
            clashes.extend(gpu for gpu, part in held.items() if part > 1)

    thread = threading.Thread(target=look)
    thread.start()

    def over():
        time.sleep(0.1)
        done.set()
        thread.join()
        return clashes

    return seen, over
