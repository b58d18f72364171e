"""Which code does a script really use, and has it changed?

Snakemake's own trigger looks at the modification time of a rule's script and at nothing that it imports. Here the
script's import closure inside this project is found by parsing, and each module is hashed as `ast.unparse` text
without docstrings, so comments and formatting do not count and a Python upgrade does not either.
"""

import ast
import functools
import hashlib
import sys
from pathlib import Path

from foldstack.errors import FoldstackError

SCRIPTS = Path(__file__).resolve().parents[2]
PACKAGE = SCRIPTS / "foldstack"
# A job that decodes stored images compares each with its recorded hash: this code cannot change its result unnoticed.
CHECKED_BY_HASH = ("foldstack/data/decode.py",)


def closure(script: str, extra: tuple[str, ...] = ()) -> list[str]:
    """Digests of a script and of every first-party module it can import.

    Args:
        script: file name in workflow/scripts, such as "train_fold.py".
        extra: dotted modules that are imported by name at run time, such as "foldstack.models.architectures.small_cnn".

    Returns:
        Sorted texts `path@digest`, paths relative to workflow/scripts.
    """
    pending = [SCRIPTS / script, *(_module_file(name) for name in extra)]
    seen: set[Path] = set()
    while pending:
        path = pending.pop()
        if path is None or path in seen:
            continue
        seen.add(path)
        pending.extend(_module_file(name) for name in _imports(path))
    return sorted(f"{path.relative_to(SCRIPTS).as_posix()}@{digest(path)}" for path in seen)


@functools.cache
def digest(path: Path) -> str:
    """Twelve hex digits of the module's syntax tree, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


def check_unchanged(recorded: list[str]) -> None:
    """Raise FoldstackError where a recorded module is no longer what Snakemake saw when it planned this job."""
    for entry in recorded:
        name, _, expected = entry.partition("@")
        path = SCRIPTS / name
        if not path.exists() or digest(path) != expected:
            raise FoldstackError(f"{name} was edited while the workflow ran; run the same command again.")


def check_closure(recorded: list[str]) -> None:
    """Raise FoldstackError where a first-party module was imported that the recorded closure does not name."""
    if not recorded:
        return
    known = {entry.partition("@")[0] for entry in recorded}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not name.startswith("foldstack") or not file:
            continue
        path = Path(file).resolve().relative_to(SCRIPTS).as_posix()
        if path not in known and path not in CHECKED_BY_HASH:
            raise FoldstackError(
                f"{path} was imported but is not in the job's recorded code; import it by name at the top."
            )


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(_with_parents(names))


def _with_parents(names: list[str]) -> list[str]:
    found = []
    for name in names:
        parts = name.split(".")
        if parts[0] == PACKAGE.name:
            found += [".".join(parts[: i + 1]) for i in range(len(parts))]
    return found


def _module_file(name: str) -> Path | None:
    path = SCRIPTS.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    return None
