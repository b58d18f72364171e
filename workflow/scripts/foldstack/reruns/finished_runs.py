"""Finished runs are kept, so that going back to an earlier config reuses them instead of training.

`work/finished/<digest>/` holds hard links to a run's outputs, named by everything that decides them. Snakemake deletes
a job's declared outputs before it starts; a link survives that, and since outputs are only ever replaced by renaming,
none is written through. Nothing here imports torch: a run that is reused takes milliseconds.
"""

import importlib.metadata
import json
import os
import shutil
from pathlib import Path

from foldstack.files import atomic, digest_of, read_json, sha256_of, write_json
from foldstack.reruns.versions import DECISIVE_PACKAGES

INDEX = "finished.json"


def identity(run, *, data: str, folds: str) -> dict:
    """All that decides a run's result: its config, the digests of its code, the data and the folds, and its name.

    Args:
        run: a Run of training/run.py.
    """
    return {
        "config": run.config,
        "code": run.code.digest,
        "data": data,
        "folds": folds,
        "run": [run.model, run.seed, run.fold],
        "versions": [importlib.metadata.version(package) for package in DECISIVE_PACKAGES],
    }


def digest(identity: dict) -> str:
    """64 hex digits of an identity, whatever the order of its keys."""
    return digest_of(identity)


def shelf(work) -> Path:
    """The folder of finished runs in a folder `work`."""
    return Path(work) / "finished"


def keep(work, identity: dict, outputs: dict) -> None:
    """Keep `outputs` (paths by name) of a finished run under its identity, replacing what was there.

    The entry appears at once, by one rename. A run does not fail because it could not be kept.
    """
    key = digest(identity)
    folder = shelf(work) / key[:16]
    part = folder.with_suffix(".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for path in map(Path, outputs.values()):
            _link(path, part / path.name)
        files = {Path(path).name: sha256_of(part / Path(path).name) for path in outputs.values()}
        write_json(part / INDEX, {"identity": key, "files": files})
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        print(f"this run is not kept for later reuse ({error})")
        shutil.rmtree(part, ignore_errors=True)


def restore(work, identity: dict, outputs: dict) -> dict | None:
    """Restore the outputs of a kept run; returns its run.json, or None where none is kept.

    Every file is checked against its recorded SHA-256 first. An entry that is damaged is reported and removed.
    """
    key = digest(identity)
    folder = shelf(work) / key[:16]
    if not folder.is_dir():
        return None
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["identity"] != key or set(index["files"]) != {Path(path).name for path in outputs.values()}:
            raise ValueError("it is of another run")
        for name, expected in index["files"].items():
            if sha256_of(folder / name) != expected:
                raise ValueError(f"{name} is not what was kept")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"kept run {folder} removed ({error}); training again")
        shutil.rmtree(folder, ignore_errors=True)
        return None
    for path in map(Path, outputs.values()):
        with atomic(path) as temporary:
            temporary.unlink()
            _link(folder / path.name, temporary)
            os.utime(temporary)  # Snakemake must see that it is newer than what was made from the files it replaces
    return read_json(outputs["run"])


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
