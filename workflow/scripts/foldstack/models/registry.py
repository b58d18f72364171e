"""Architectures by name: a file in the folder architectures, or any classification model of timm.

A new architecture is one new file there: the file's name is the architecture's name. The file defines `TASK`
("images" or "pairs") and `build(*, in_channels, n_classes, image_size, **options)`, which returns a torch module that
maps float (N, C, H, W), or (N, 2, C, H, W) for pairs, to logits (N, n_classes). Nothing is imported until it is asked
for; names are found in the source text, since the config is checked where neither torch nor timm may be imported.
"""

import ast
import difflib
import functools
import importlib
import importlib.util
import re
from pathlib import Path

from foldstack.errors import FoldstackError

FOLDER = Path(__file__).resolve().parent
SHAPE = ("in_channels", "n_classes", "image_size")
# Options that the workflow sets, and a config may not.
SET_BY_WORKFLOW = {"clip": ("prompts", "text_features", "shift", "encoder", "train", "text_lr")}
FROM_FILES = ("pretrained", "prompts", "encoder")  # options that name files of initial weights and constants
# Architectures with the options `tower` and `tower_options`, and what their module calls the tower.
TOWERS = {"clip": "image", "pair_net": "tower"}
OPTION_TYPES: dict[str, type | tuple[type, ...]] = {
    "float": (int, float),
    "bool": bool,
    "str": str,
    "dict | None": (dict, type(None)),
}


@functools.lru_cache(maxsize=1)
def own_architectures() -> tuple[str, ...]:
    """Sorted names of the architectures defined in this folder."""
    return tuple(sorted({path.stem for path in (FOLDER / "architectures").glob("*.py")} - {"__init__"}))


@functools.lru_cache(maxsize=1)
def timm_architectures() -> tuple[str, ...]:
    """Sorted names that timm registers; empty where timm is not installed."""
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return ()
    names = set()
    for path in Path(spec.submodule_search_locations[0], "models").glob("*.py"):
        names.update(re.findall(r"^@register_model\s+def (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))
    return tuple(sorted(names))


@functools.cache
def timm_weights(architecture: str) -> tuple[str, ...]:
    """Sorted tags of the weights that timm lists for an architecture, by its source text; none where it is missing."""
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return ()
    tags = set()
    for path in Path(spec.submodule_search_locations[0], "models").glob("*.py"):
        tags.update(
            re.findall(rf"^\s+['\"]{architecture}\.(\w+)['\"]:", path.read_text(encoding="utf-8"), re.MULTILINE)
        )
    return tuple(sorted(tags))


def known_architectures() -> list[str]:
    """Every name that `build` accepts: own architectures first, then timm's."""
    own = own_architectures()
    return [*own, *(name for name in timm_architectures() if name not in own)]


def module_name(architecture: str) -> str:
    """Dotted name of the module that builds `architecture`."""
    own = architecture in own_architectures()
    return f"foldstack.models.architectures.{architecture}" if own else "foldstack.models.timm_model"


def module_path(architecture: str) -> Path:
    """File of the module that builds `architecture`."""
    return FOLDER.joinpath(*module_name(architecture).split(".")[2:]).with_suffix(".py")


def starts_from(architecture: str, options: dict) -> str:
    """The architecture whose published weights it may start from: its own, or that of its tower."""
    return options.get("tower", architecture) if architecture in TOWERS else architecture


def task_of(architecture: str) -> str:
    """The architecture's input, "images" or "pairs"; its file is read as text, not imported."""
    path = module_path(architecture)
    found = re.search(r'^TASK = "(images|pairs)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise FoldstackError(f'{path.name} must say TASK = "images" or TASK = "pairs" on its own line.')
    return found[1]


@functools.cache
def own_options(architecture: str) -> dict[str, str]:
    """Options of an architecture of this folder and the types that its source annotates ("" where none)."""
    path = module_path(architecture)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise FoldstackError(f"{path.name}, line {error.lineno}: {error.msg}; correct the architecture.") from error
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            arguments = [*node.args.args, *node.args.kwonlyargs]
            return {
                argument.arg: ast.unparse(argument.annotation) if argument.annotation else ""
                for argument in arguments
                if argument.arg not in SHAPE
            }
    raise FoldstackError(f"{path.name} defines no function build; see docs/how-to/models.md.")


def option_problem(annotation: str, value) -> str | None:
    """What is wrong with the value of an option, by the type that its source annotates; None if nothing is."""
    if annotation.startswith("Literal["):
        literal, _, timm = annotation.partition(" | ")
        choices = ast.literal_eval(literal.removeprefix("Literal"))
        known = [*choices, *(timm_architectures() if timm == "TimmName" else ())]
        if value in known:
            return None
        near = difflib.get_close_matches(str(value), known, n=1)
        return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(choices)}."
    if annotation == "Sequence[int]":
        fits = isinstance(value, list) and value and all(type(item) is int and item > 0 for item in value)
        return None if fits else "give a list of whole numbers above 0."
    if annotation == "int":
        return None if type(value) is int and value > 0 else "give a whole number above 0."
    wanted = OPTION_TYPES.get(annotation)
    if wanted is None or (isinstance(value, wanted) and isinstance(value, bool) == (annotation == "bool")):
        return None
    return f"give a value of type {annotation}."


def build(architecture: str, *, in_channels: int, n_classes: int, image_size: tuple[int, int], options: dict):
    """Build a network with freshly drawn weights.

    Args:
        architecture: a name from `known_architectures()`.
        in_channels: channels of one image, 1 or 3.
        n_classes: width of the logits.
        image_size: (height, width) of the images that the network will see.
        options: keyword arguments of the architecture's own `build` (for timm: of `timm.create_model`).

    Returns:
        torch.nn.Module: float (N, C, H, W), or (N, 2, C, H, W) for pairs, to logits (N, n_classes).

    Raises:
        FoldstackError: for an unknown name or an option that the architecture does not have.
    """
    shape = {"in_channels": in_channels, "n_classes": n_classes, "image_size": tuple(image_size)}
    if architecture in own_architectures():
        allowed = own_options(architecture)
        unknown = sorted(set(options) - set(allowed))
        if unknown:
            raise FoldstackError(
                f"The architecture {architecture!r} has no option {unknown[0]!r}; it has {', '.join(sorted(allowed))}."
            )
        for option, value in options.items():
            problem = option_problem(allowed[option], value)
            if problem:
                raise FoldstackError(f"The option {option} of {architecture!r} is {value!r}; {problem}")
        module = importlib.import_module(module_name(architecture))
        try:
            return module.build(**shape, **options)
        except (TypeError, ValueError, ArithmeticError, IndexError, AssertionError, RuntimeError) as error:
            raise FoldstackError(
                f"{architecture!r} cannot be built for images of {image_size[0]}x{image_size[1]} with the options "
                f"{options} ({error}); change image_size or options of this model."
            ) from error
    if architecture not in timm_architectures():
        raise FoldstackError(f"There is no architecture {architecture!r}; see docs/how-to/models.md.")
    return importlib.import_module(module_name(architecture)).build(architecture, **shape, options=options)
