"""What a run's config records of the texts that it learns from: their file and its digest."""

from safetensors import SafetensorError, safe_open

from foldstack.errors import FoldstackError
from foldstack.files import sha256_of


def with_prompts(config: dict, path, record, captions=None) -> dict:
    """A run's config with what `models/clip.py` needs to know of the class prompts in `path`.

    `record` is that of the text encoder, `encoders/{encoder}.json`; it counts where the encoder is trained too.
    `captions` is the file of `captions.py`, where the run learns from them.
    """
    try:
        with safe_open(path, framework="np") as file:
            width = file.get_slice("vectors").get_shape()[1]
    except (OSError, SafetensorError) as error:
        raise FoldstackError(f"{path} is not a file of class prompts ({error}); delete it and run again.") from error
    given = {"prompts": reference_to(path), "text_features": width, "shift": config["loss"] == "sigmoid"}
    if config["text"]["train"] != "frozen":
        given |= {
            "encoder": reference_to(record),
            "train": config["text"]["train"],
            "text_lr": config["text"]["lr_scale"],
        }
    learned = {"captions": reference_to(captions)} if captions else {}
    return config | {"options": config["options"] | given} | learned


def checked(reference: str) -> str:
    """The path of a `path@digest` text of `reference_to`; raises FoldstackError where the file has changed."""
    path, _, digest = reference.rpartition("@")
    if reference_to(path) != reference:
        raise FoldstackError(f"{path} is not the file that this run was planned with ({digest}); run again.")
    return path


def reference_to(path) -> str:
    """`path@digest`: what a run's config records of its prompts, so that other prompts make another run."""
    try:
        return f"{path}@{sha256_of(path)[:16]}"
    except OSError as error:
        raise FoldstackError(f"{path} cannot be read ({error}); run again.") from error
