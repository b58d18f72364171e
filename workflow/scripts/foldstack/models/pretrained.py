"""Weights that a model starts from, brought into one file before any run: from a file of the user or from timm's hub.

The runs read that file alone, so that they need no network and all start from the same bytes.
"""

from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.files import atomic, sha256_of, write_json

IN_FOLDERS = ("model.safetensors", "pytorch_model.bin")  # as the Hugging Face hub names them
# Of the images that a run learned from, in its file of weights; who starts from it takes those of its own (measured in
# docs/benchmarks/fine-tuning.md).
STATISTICS = ("mean", "std")
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
        record: gets `source`, `sha256` and `tensors` (how many).

    Raises:
        FoldstackError: they cannot be read or fetched.
    """
    import safetensors.torch

    path = local_file(asked)
    tensors = _read(path) if path else _from_hub(architecture if asked is True else f"{architecture}.{asked}")
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in sorted(tensors.items())}
    with atomic(target) as temporary:
        safetensors.torch.save_file(tensors, temporary)
    digest = sha256_of(target)
    write_json(record, {"source": str(path or asked), "sha256": digest, "tensors": len(tensors)})
    return digest


def _read(path: Path) -> dict:
    """A state dict from a file, also one inside a checkpoint of timm's train.py; nothing is unpickled."""
    import timm.models

    try:
        tensors = timm.models.load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # a broken file raises many kinds of errors
        raise FoldstackError(f"{path} cannot be read as weights ({error}); give another file.") from error
    tensors = {name: value for name, value in tensors.items() if name not in STATISTICS}
    if not tensors or not all(hasattr(value, "detach") for value in tensors.values()):
        raise FoldstackError(f"{path} holds no named weights; give the file of a state dict.")
    return tensors


def _from_hub(name: str) -> dict:
    """Weights that timm publishes."""
    import timm

    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # no connection, nothing in the cache, no such weights
        raise FoldstackError(
            f"The weights of {name!r} cannot be fetched ({str(error).splitlines()[0]}); run once where the hub can be "
            "reached, or download them and give pretrained the path."
        ) from error
