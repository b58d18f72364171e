"""foldstack.reruns.code_digest: what a script's digest covers, what it ignores, and which file a change is in."""

import ast
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstack.errors import FoldstackError
from foldstack.reruns import code_digest

FILES = {
    "run.py": "from foldstack.a import f\n\nf()\n",
    "foldstack/__init__.py": "",
    "foldstack/models/__init__.py": "",
    "foldstack/models/net.py": "WIDTH = 3\n",
    "foldstack/a.py": "from foldstack import b\n\n\ndef f():\n    return b.g()\n",
    "foldstack/b.py": "import math\n\n\ndef g():\n    return math.pi\n",
    "foldstack/c.py": "C = 1\n",
    "foldstack/jobs/__init__.py": "",
    "foldstack/jobs/lock.py": "def hold():\n    return 'word'\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A tiny project: run.py -> foldstack.a -> foldstack.b; foldstack.c and foldstack.jobs stand alone."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code_digest, "SCRIPTS", tmp_path)
    monkeypatch.chdir(tmp_path)
    forget()
    yield tmp_path
    forget()


def forget():
    for cached in (code_digest.digest_of_file, code_digest._with_imports, code_digest._parsed):
        cached.cache_clear()


def code(*extra):
    forget()
    return code_digest.of_script("run.py", extra)


def names(code):
    return [entry.partition("@")[0] for entry in code.files]


def test_the_digest_follows_imports_of_the_project_only(project):
    assert names(code()) == ["foldstack/a.py", "foldstack/b.py", "run.py"]


def test_a_module_imported_by_name_is_added(project):
    found = code("foldstack.models.net")
    assert "foldstack/models/net.py" in names(found)
    assert found.digest != code().digest


def test_an_edit_deep_down_changes_the_digest_and_is_named(project):
    before = code()
    (project / "foldstack/b.py").write_text("import math\n\n\ndef g():\n    return math.tau\n")
    after = code()
    assert before.digest != after.digest
    assert code_digest.changed_files(before, after) == ["foldstack/b.py"]


def test_comments_docstrings_and_formatting_do_not_count(project):
    before = code()
    text = '"""About b."""\nimport math\n# why\ndef g():\n  """g."""\n  return (math.pi)\n'
    (project / "foldstack/b.py").write_text(text)
    assert before == code()


def test_an_edit_outside_the_imports_changes_nothing(project):
    before = code()
    (project / "foldstack/c.py").write_text("C = 2\n")
    assert before == code()


def test_a_word_in_the_plumbing_changes_nothing_but_that_it_is_used_does(project):
    alone = code()
    (project / "foldstack/b.py").write_text("from foldstack.jobs import lock\n" + FILES["foldstack/b.py"])
    before = code()
    assert before.digest != alone.digest
    (project / "foldstack/jobs/lock.py").write_text("def hold():\n    return 'another word'\n")
    assert before == code()
    assert "foldstack/jobs/lock.py" not in names(before)


@pytest.mark.parametrize("target", ["foldstack/room/b.py", "foldstack/models/b.py"])
def test_a_moved_module_changes_no_digest(project, target):
    before = code()
    (project / target).parent.mkdir(exist_ok=True)
    shutil.move(project / "foldstack/b.py", project / target)
    package = target.removesuffix("/b.py").replace("/", ".")
    (project / "foldstack/a.py").write_text(
        FILES["foldstack/a.py"].replace("from foldstack import", f"from {package} import")
    )
    after = code()
    assert before.digest == after.digest
    assert before.files != after.files
    assert code_digest.changed_files(before, after) == []


def test_a_renamed_module_changes_those_that_say_its_name(project):
    before = code()
    shutil.move(project / "foldstack/b.py", project / "foldstack/d.py")
    (project / "foldstack/a.py").write_text("from foldstack import d\n\n\ndef f():\n    return d.g()\n")
    assert code_digest.changed_files(before, code()) == ["foldstack/a.py"]


def test_a_renamed_module_of_which_only_names_are_taken_changes_nothing(project):
    (project / "foldstack/a.py").write_text("from foldstack.b import g\n\n\ndef f():\n    return g()\n")
    before = code()
    shutil.move(project / "foldstack/b.py", project / "foldstack/d.py")
    (project / "foldstack/a.py").write_text("from foldstack.d import g\n\n\ndef f():\n    return g()\n")
    assert before.digest == code().digest


def test_functions_of_one_name_that_change_places_are_seen(project):
    """Dropping imports from the text would miss this: every file keeps its own content."""
    one, other = "def g():\n    return 1\n", "def g():\n    return 2\n"
    text = "from foldstack.{} import g as one\nfrom foldstack.{} import g as other\n\n\nf = one() - other()\n"
    (project / "foldstack/b.py").write_text(one)
    (project / "foldstack/c.py").write_text(other)
    (project / "foldstack/a.py").write_text(text.format("b", "c"))
    before = code()
    (project / "foldstack/a.py").write_text(text.format("c", "b"))
    assert before.digest != code().digest


@given(order=st.permutations(["from foldstack.b import g", "from foldstack import c", "import os"]))
def test_the_order_of_imports_of_the_project_does_not_count(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("order")
    texts = []
    for i, lines in enumerate((sorted(order), order)):
        path = folder / f"a{i}.py"
        path.write_text("\n".join([*lines, "", "print(g, c, os)", ""]))
        texts.append(code_digest._parsed(path)[0])
    assert texts[0] == texts[1]


def test_what_was_planned_is_remembered_until_the_files_move(project):
    found = code()
    assert code_digest.recall(found.digest) is None
    code_digest.remember(found)
    assert code_digest.recall(found.digest) == found
    moved = found._replace(files=["foldstack/moved.py@1"])
    code_digest.remember(moved)
    assert code_digest.recall(found.digest) == moved


def test_a_job_refuses_code_that_was_edited_after_planning(project):
    planned = code()
    code_digest.check_unchanged(planned)
    (project / "foldstack/a.py").write_text("def f():\n    return 4\n")
    forget()
    with pytest.raises(FoldstackError, match=r"foldstack/a\.py was edited while the workflow ran"):
        code_digest.check_unchanged(planned)


def test_a_module_that_the_digest_misses_is_an_error():
    planned = code_digest.of_script("collect_oof.py")
    without = planned._replace(files=[entry for entry in planned.files if not entry.startswith("foldstack/tables.py")])
    assert len(without.files) == len(planned.files) - 1
    with pytest.raises(FoldstackError, match=r"foldstack/.* was imported but is not in the job's recorded code"):
        code_digest.check_imported(without)


def test_decoding_is_code_of_the_data_stage_and_of_no_run():
    """Where runs decode stored images, the hash of each is checked instead (foldstack/data/pixels.py)."""
    reached = {script: names(code_digest.of_script(script)) for script in ("prepare_data.py", "train_fold.py")}
    assert [code_digest.CHECKED_BY_HASH[0] in names for names in reached.values()] == [True, False]
    assert "foldstack/data/pixels.py" in reached["train_fold.py"]


def test_imports_are_written_so_that_they_are_found():
    """`import foldstack.x` and relative imports would escape the digest."""
    for path in code_digest.SCRIPTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.partition(".")[0] == "foldstack"], path
            if isinstance(node, ast.ImportFrom):
                assert not node.level, path
                assert "*" not in [alias.name for alias in node.names], path
