"""Weights that a model starts from, brought into one file before any run: from a file of the user or from timm's hub.

The runs read that file alone, so that they need no network and all start from the same bytes.
"""

from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.files import atomic, read_json, sha256_of, write_json
from foldstack.models import registry

IN_FOLDERS = ("model.safetensors", "pytorch_model.bin")  # as the Hugging Face hub names them
STATISTICS = ("mean", "std")  # of each channel, by the names of network.Classifier
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".tar")


def local_file(asked: bool | str) -> Path | None:
    """The file that the config's `pretrained` names, by itself or by its folder; None for weights of the hub.

    Raises:
        FoldstackError: there is no such file, or none in the folder.
    """
    if isinstance(asked, bool):
        return None
    path = Path(asked)
    if path.is_dir():
        found = [path / name for name in IN_FOLDERS if (path / name).is_file()]
        if not found:
            raise FoldstackError(f"The folder {asked!r} holds no {' or '.join(IN_FOLDERS)}; name the file itself.")
        return found[0]
    if path.is_file():
        return path
    if "/" in asked or asked.endswith(SUFFIXES):
        raise FoldstackError(f"The file of weights {asked!r} does not exist; correct pretrained.")
    return None


def fetch(architecture: str, asked: bool | str, target, record) -> str:
    """Write the weights as safetensors to `target`, and what is known of them to `record`; returns their SHA-256.

    Args:
        architecture: that of the weights (`registry.starts_from`).
        asked: the config's `pretrained`.
        target: gets the tensors by name, and `mean` and `std` (C,) of values in 0..1 where it is known by which the
            network's images were normalised.
        record: gets `source`, `sha256`, `tensors` (how many) and `normalisation` (where `mean` and `std` are from, or
            null).

    Raises:
        FoldstackError: they cannot be read or fetched.
    """
    import safetensors.torch

    path = local_file(asked)
    if path:
        tensors = _read(path)
        origin, settings = _settings(path, architecture)
    else:
        name = architecture if asked is True else f"{architecture}.{asked}"
        tensors, settings = _from_hub(name)
        origin = f"timm's {name}"
    if set(STATISTICS) <= set(tensors):
        origin = "the weights"
    elif settings:
        import torch

        tensors |= {name: torch.tensor(settings[name], dtype=torch.float32) for name in STATISTICS}
    else:
        origin = None
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in sorted(tensors.items())}
    with atomic(target) as temporary:
        safetensors.torch.save_file(tensors, temporary)
    digest = sha256_of(target)
    about = {"source": str(path or asked), "sha256": digest, "tensors": len(tensors), "normalisation": origin}
    write_json(record, about)
    return digest


def _read(path: Path) -> dict:
    """A state dict from a file, also one inside a checkpoint of timm's train.py; nothing is unpickled."""
    import timm.models

    try:
        tensors = timm.models.load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # a broken file raises many kinds of errors
        raise FoldstackError(f"{path} cannot be read as weights ({error}); give another file.") from error
    if not set(tensors) - set(STATISTICS) or not all(hasattr(value, "detach") for value in tensors.values()):
        raise FoldstackError(f"{path} holds no named weights; give the file of a state dict.")
    return tensors


def _settings(path: Path, architecture: str) -> tuple[str, dict | None]:
    """(origin, settings) of a file's weights for timm: config.json next to it, as on the hub, or timm's defaults."""
    beside = path.with_name("config.json")
    if beside.is_file():
        settings = read_json(beside).get("pretrained_cfg")
        if settings and set(STATISTICS) <= set(settings):
            return str(beside), settings
    if architecture not in registry.timm_architectures():
        return "", None
    import timm.models

    return f"timm's {architecture}", timm.models.get_pretrained_cfg(architecture).to_dict()


def _from_hub(name: str) -> tuple[dict, dict]:
    """Weights that timm publishes, and its settings of them."""
    import timm

    try:
        network = timm.create_model(name, pretrained=True)
    except Exception as error:  # no connection, nothing in the cache, no such weights
        raise FoldstackError(
            f"The weights of {name!r} cannot be fetched ({str(error).splitlines()[0]}); run once where the hub can be "
            "reached, or download them and give pretrained the path."
        ) from error
    return network.state_dict(), network.pretrained_cfg
