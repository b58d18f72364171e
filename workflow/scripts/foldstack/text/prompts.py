"""Class prompts: texts that say what a class looks like, as vectors of a frozen text encoder, made once.

Several prompts of a class are averaged after each was brought to length 1, and the mean again: Radford et al., "CLIP",
arXiv:2103.00020, section 3.1.4.
"""

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from foldstack.errors import FoldstackError
from foldstack.files import atomic
from foldstack.text.reference import checked

SAME = 1e-9  # 1 less the cosine of two vectors that float32 cannot tell apart


def prompts(classes: list[str], templates: list[str], names: dict) -> dict[str, list[str]]:
    """{class: its prompts}: each template with each name of the class in place of `{}`.

    A class without an entry in `names` goes by its own name, with spaces for underscores.

    Raises:
        FoldstackError: `names` has a class that the data do not.
    """
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise FoldstackError(f"text.names has the class {unknown[0]!r}, but the data have {', '.join(classes)}.")
    found = {}
    for name in classes:
        called = names.get(name, name.replace("_", " "))
        called = [called] if isinstance(called, str) else called
        found[name] = [template.replace("{}", each) for each in called for template in templates]
    return found


def class_vectors(texts: dict[str, list[str]], vectors: np.ndarray) -> np.ndarray:
    """(C, D) float32, each of length 1, from {class: prompts} and the vectors (N, D) of all prompts in that order."""
    ends = np.cumsum([len(own) for own in texts.values()])[:-1]
    rows = [own.mean(axis=0) for own in np.split(np.asarray(vectors, np.float32), ends)]
    lengths = [np.linalg.norm(row) for row in rows]
    return np.stack([row / max(length, 1e-6) for row, length in zip(rows, lengths, strict=True)])


def check_distinct(texts: dict[str, list[str]], vectors: np.ndarray) -> None:
    """Raise FoldstackError where two classes have one vector (C, D): no image could be nearer to one than the other."""
    vectors, names = np.asarray(vectors, np.float64), list(texts)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for i in range(1, len(names)):
        cosines = vectors[:i] @ vectors[i]
        j = int(cosines.argmax())
        if cosines[j] > 1 - SAME:
            raise FoldstackError(
                f"The text encoder gives the prompts of the classes {names[j]!r} and {names[i]!r} the same vector, "
                f"such as {texts[names[j]][0]!r} and {texts[names[i]][0]!r}: it does not know their words, or cuts the "
                "template before them, or both have one name. Give them other words under text.names, or choose "
                "another text.encoder."
            )


def write_prompts(path, classes: list[str], vectors: np.ndarray, **tokens: np.ndarray) -> None:
    """Write a safetensors file with the tensor `vectors` (C, D) and the classes in its metadata.

    Equal input gives equal bytes.

    For an encoder that is trained `tokens` has what it reads, one row a prompt: `ids` and `mask` (P, L), and `owner`
    (P,), the class; all int64.
    """
    with atomic(path) as temporary:
        safetensors.numpy.save_file({"vectors": vectors, **tokens}, temporary, {"classes": "\n".join(classes)})


def read_prompts(reference: str, n_classes: int) -> dict[str, np.ndarray]:
    """The tensors of `write_prompts` from a `path@digest` text; raises FoldstackError where the file is another."""
    path = checked(reference)
    try:
        tensors = safetensors.numpy.load_file(path)
        found = len(tensors["vectors"])
    except (OSError, SafetensorError, KeyError) as error:
        raise FoldstackError(f"{path} is not a file of class prompts ({error}); delete it and run again.") from error
    if found != n_classes:
        raise FoldstackError(f"{path} holds prompts of {found} classes, not {n_classes}; delete it, run again.")
    return tensors
