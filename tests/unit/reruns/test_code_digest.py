"""foldstack.codedigest: what a script's digest covers, and what it ignores."""

import ast

import pytest

from foldstack.errors import FoldstackError
from foldstack.reruns import code_digest


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A tiny project: run.py -> foldstack.a -> foldstack.b; foldstack.c stands alone."""
    package = tmp_path / "foldstack"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "__init__.py").touch()
    (package / "models" / "net.py").write_text("WIDTH = 3\n")
    (package / "a.py").write_text("from foldstack import b\n\n\ndef f():\n    return b.g()\n")
    (package / "b.py").write_text("import math\n\n\ndef g():\n    return math.pi\n")
    (package / "c.py").write_text("C = 1\n")
    (tmp_path / "run.py").write_text("from foldstack.a import f\n\nf()\n")
    monkeypatch.setattr(code_digest, "SCRIPTS", tmp_path)
    monkeypatch.setattr(code_digest, "PACKAGE", package)
    yield tmp_path
    forget()


def forget():
    code_digest.digest.cache_clear()
    code_digest._imports.cache_clear()


def closure_after(path, text, **options):
    path.write_text(text)
    forget()
    return code_digest.closure("run.py", **options)


def names(closure):
    return [entry.partition("@")[0] for entry in closure]


def test_closure_follows_imports_of_the_project_only(project):
    assert names(code_digest.closure("run.py")) == [
        "foldstack/__init__.py",
        "foldstack/a.py",
        "foldstack/b.py",
        "run.py",
    ]


def test_a_module_imported_by_name_is_added(project):
    found = names(code_digest.closure("run.py", ("foldstack.models.net",)))
    assert "foldstack/models/net.py" in found


def test_an_edit_deep_in_the_closure_changes_exactly_that_entry(project):
    before = code_digest.closure("run.py")
    after = closure_after(project / "foldstack" / "b.py", "import math\n\n\ndef g():\n    return math.tau\n")
    changed = set(before) ^ set(after)
    assert {entry.partition("@")[0] for entry in changed} == {"foldstack/b.py"}


def test_comments_docstrings_and_formatting_do_not_count(project):
    before = code_digest.closure("run.py")
    after = closure_after(
        project / "foldstack" / "b.py", '"""About b."""\nimport math\n# why\ndef g():\n  """g."""\n  return (math.pi)\n'
    )
    assert before == after


def test_an_edit_outside_the_closure_changes_nothing(project):
    before = code_digest.closure("run.py")
    assert before == closure_after(project / "foldstack" / "c.py", "C = 2\n")


def test_a_job_refuses_code_that_was_edited_after_planning(project):
    recorded = code_digest.closure("run.py")
    code_digest.check_unchanged(recorded)
    (project / "foldstack" / "a.py").write_text("def f():\n    return 4\n")
    forget()
    with pytest.raises(FoldstackError, match=r"foldstack/a\.py was edited while the workflow ran"):
        code_digest.check_unchanged(recorded)


def test_a_module_that_the_closure_misses_is_an_error():
    recorded = code_digest.closure("collect_oof.py")
    without = [entry for entry in recorded if not entry.startswith("foldstack/errors.py")]
    assert len(without) == len(recorded) - 1
    with pytest.raises(FoldstackError, match=r"foldstack/.* was imported but is not in the job's recorded code"):
        code_digest.check_closure(without)


def test_decoding_is_code_of_the_data_stage_and_of_no_run():
    """Where runs decode stored images, the hash of each is checked instead (foldstack/data/pixels.py)."""
    reached = {script: " ".join(code_digest.closure(script)) for script in ("prepare_data.py", "train_fold.py")}
    assert [code_digest.CHECKED_BY_HASH[0] in names for names in reached.values()] == [True, False]
    assert "foldstack/data/pixels.py" in reached["train_fold.py"]


def test_no_script_reaches_a_package_with_code_in_its_init():
    """A package __init__ that imports would make every closure the whole package."""
    for path in code_digest.PACKAGE.rglob("__init__.py"):
        assert not ast.parse(path.read_text()).body, f"{path} must stay empty"
