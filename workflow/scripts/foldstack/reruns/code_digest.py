"""Which code does a script really use, and has it changed?

Snakemake's own trigger looks at the modification time of a rule's script and at nothing that it imports. Here a
script's digest covers its text and the digests of all modules of this project that it imports, directly or not.
What counts is content: docstrings, comments and formatting are left out (`ast.unparse`), and an import counts as the
digest of what is imported and the names taken from it, not as a path. So moving a module changes nothing, and renaming
one changes only the modules that use its name.

The rooms in PLUMBING are left out: they decide when, where and whether a job runs, and no result. That they cannot
decide one is tested (tests/workflow/test_structure.py): they import only each other and BENEATH.

A digest alone names no file, so the files of each digest are kept in FOLDER, to find out later which one changed.
"""

import ast
import contextlib
import functools
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from foldstack.errors import FoldstackError

SCRIPTS = Path(__file__).resolve().parents[2]
FOLDER = Path(".snakemake") / "foldstack" / "code"
PARSED = FOLDER.with_name("parsed")
PLUMBING = ("reruns", "gpus", "jobs", "estimates")
BENEATH = tuple(f"foldstack/{name}.py" for name in ("errors", "runs", "files", "columns", "text_table"))
# A job that decodes stored images compares each with its recorded hash: this code cannot change its result unnoticed.
CHECKED_BY_HASH = ("foldstack/data/decode.py",)


class Code(NamedTuple):
    """The code of a script: its digest, and `path@digest` of each of its files, sorted."""

    digest: str
    files: list[str]


class Import(NamedTuple):
    """`taken` is "" where the module itself is meant; `scope` is the function or class that contains the import."""

    scope: str
    target: Path
    taken: str
    local: str


def of_script(script: str, extra: tuple[str, ...] = ()) -> Code:
    """The code of a script.

    Args:
        script: file name in workflow/scripts, such as "train_fold.py".
        extra: dotted modules that it imports by name at run time, such as "foldstack.models.architectures.small_cnn".
    """
    roots = [SCRIPTS / script, *filter(None, map(_module_file, extra))]
    seen: set[Path] = set()
    pending = list(roots)
    while pending:
        path = pending.pop()
        if path not in seen and not _is_plumbing(path):
            seen.add(path)
            pending += [found.target for found in _parsed(path)[1]]
    files = sorted(f"{_name(path)}@{digest_of_file(path)}" for path in seen)
    return Code(_hash([_with_imports(path) for path in roots], 16), files)


def remember(code: Code) -> None:
    """Keep the files of a digest. Where the folder cannot be written, only their names are lost."""
    if recall(code.digest) != code:
        _write(FOLDER / f"{code.digest}.json", code.files)


def recall(digest: str) -> Code | None:
    """The code that has this digest, if it was remembered here."""
    try:
        return Code(digest, json.loads((FOLDER / f"{digest}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def changed_files(before: Code, now: Code) -> list[str]:
    """Names of the files whose content is not in both; a moved file is in both."""
    old, new = (dict(entry.rpartition("@")[::2] for entry in code.files) for code in (before, now))
    added = {name for name, digest in new.items() if digest not in old.values()}
    return sorted(added | {name for name, digest in old.items() if digest not in new.values()})


def check_unchanged(code: Code) -> None:
    """Raise FoldstackError where a file is no longer what Snakemake saw when it planned this job."""
    for entry in code.files:
        name, _, expected = entry.rpartition("@")
        path = SCRIPTS / name
        if not path.exists() or digest_of_file(path) != expected:
            raise FoldstackError(f"{name} was edited while the workflow ran; run the same command again.")


def check_imported(code: Code) -> None:
    """Raise FoldstackError where a module of this project was imported that the job's digest does not cover."""
    known = {entry.rpartition("@")[0] for entry in code.files} | {*CHECKED_BY_HASH, *BENEATH}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not name.startswith("foldstack.") or not file or Path(file).name == "__init__.py":
            continue
        path = Path(file).resolve()
        if _name(path) not in known and not _is_plumbing(path):
            raise FoldstackError(
                f"{_name(path)} was imported but is not in the job's recorded code; import it by name at the top."
            )


@functools.cache
def digest_of_file(path: Path) -> str:
    """Twelve hex digits of a file's own content, without that of its imports."""
    text, imports = _parsed(path)
    return _hash([text, sorted((found.scope, found.taken, found.local) for found in imports)], 12)


@functools.cache
def _with_imports(path: Path) -> str:
    """A digest of a file's content and of all that it imports."""
    text, imports = _parsed(path)
    behind = [
        ("" if _is_plumbing(found.target) else _with_imports(found.target), found.scope, found.taken, found.local)
        for found in imports
    ]
    return _hash([text, sorted(behind)], 64)


def _hash(value, digits: int) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:digits]


@functools.cache
def _parsed(path: Path) -> tuple[str, list[Import]]:
    """(text without docstrings and without imports of this project's modules, these imports)."""
    content = path.read_bytes()
    text, taken = _kept_or_parsed(content)
    found = []
    for scope, module, name, local in taken:
        own = _module_file(f"{module}.{name}")
        target = own or _module_file(module)
        if target:
            found.append(Import(scope, target, "" if own else name, local))
    return text, found


def _kept_or_parsed(content: bytes) -> tuple[str, list[list[str]]]:
    """What a file's content is parsed to, from PARSED where it is known, since parsing all files takes half a second.

    Returns:
        (text, taken): the latter are [scope, module, name, local name] of each import.
    """
    path = PARSED / f"{hashlib.sha256(_parser() + content).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError):
        text, taken = json.loads(path.read_text(encoding="utf-8"))
        return text, taken
    visitor = _TakeImports()
    text = ast.unparse(visitor.visit(ast.parse(content)))
    _write(path, [text, visitor.found])
    return text, visitor.found


@functools.cache
def _parser() -> bytes:
    """Bytes that change with whatever else decides what a file is parsed to: Python, and this module."""
    return sys.version.encode() + Path(__file__).read_bytes()


def _write(path: Path, value) -> None:
    """Where the folder cannot be written, only time or names of files are lost."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value), encoding="utf-8")
        os.replace(temporary, path)


class _TakeImports(ast.NodeTransformer):
    """Takes docstrings and imports of this project's modules out of a syntax tree."""

    def __init__(self) -> None:
        self.found: list[list[str]] = []
        self.scope: list[str] = []

    def visit(self, node):
        named = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if (named or isinstance(node, ast.Module)) and ast.get_docstring(node):
            node.body = node.body[1:]
        if named:
            self.scope.append(node.name)
        node = super().visit(node)
        if named:
            self.scope.pop()
        if isinstance(node, ast.AST) and getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]  # it has one: the line above
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom):
        if node.level or node.module is None or node.module.partition(".")[0] != "foldstack":
            return node
        scope = ".".join(self.scope)
        self.found += [[scope, node.module, alias.name, alias.asname or alias.name] for alias in node.names]
        return None


def _module_file(name: str) -> Path | None:
    path = SCRIPTS.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None


def _is_plumbing(path: Path) -> bool:
    parts = path.relative_to(SCRIPTS).parts
    return len(parts) > 2 and parts[0] == "foldstack" and parts[1] in PLUMBING


def _name(path: Path) -> str:
    return path.relative_to(SCRIPTS).as_posix()
