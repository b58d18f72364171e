"""The workflow's own shape: rules, scripts, logs, captions, schema, and what parsing costs."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from foldstack.jobs import terminal
from foldstack.models import registry
from foldstack.reruns import code_digest

ROOT = Path(__file__).resolve().parents[2]
RULE_FILES = sorted((ROOT / "rules").glob("*.smk"))
SCRIPTS = ROOT / "workflow" / "scripts"


def rules() -> dict[str, str]:
    """Text of each rule that runs a script, by name."""
    found = {}
    for path in RULE_FILES:
        for part in re.split(r"^(?=rule |checkpoint |use rule )", path.read_text(), flags=re.MULTILINE)[1:]:
            name = re.match(r"(?:rule|checkpoint) (\w+):", part)
            if name:
                found[name[1]] = part
    return {name: text for name, text in found.items() if "script:" in text}


@pytest.mark.parametrize("name", rules())
def test_a_rule_has_docstring_log_script_and_code_digest_under_its_own_name(name):
    text = rules()[name]
    assert re.search(r'^    """.+\."""$', text, re.MULTILINE)
    assert re.search(rf'log:\s+"<results>/logs/{name}[./]', text)
    assert f'"../workflow/scripts/{name}.py"' in text
    assert re.search(rf'code\("{name}\.py"', text)
    assert (SCRIPTS / f"{name}.py").exists()


def test_no_two_rules_share_a_log_or_a_benchmark():
    paths = re.findall(r'"(<results>/(?:logs|benchmarks)/[^"]+)"', "".join(rules().values()))
    assert len(paths) == len(set(paths)) >= len(rules())


def test_the_rules_that_the_display_follows_exist():
    text = "\n".join(path.read_text() for path in RULE_FILES)
    assert re.search(rf"^rule {terminal.RUN_RULE}:", text, re.MULTILINE)
    assert re.search(rf"^use rule {terminal.RUN_RULE} as {terminal.CHECK_RULE} with:", text, re.MULTILINE)


def test_every_script_belongs_to_a_rule():
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(rules())


def test_every_caption_exists_and_none_is_left_over():
    used = set(
        re.findall(r"workflow/report/(\w+\.rst)", "".join(p.read_text() for p in [*RULE_FILES, ROOT / "Snakefile"]))
    )
    assert used == {path.name for path in (ROOT / "workflow" / "report").glob("*.rst")}


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.py")), ids=lambda path: path.relative_to(SCRIPTS).as_posix())
def test_the_library_never_imports_snakemake(path):
    names = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {node.module or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in names if name.split(".")[0] == "snakemake"]


# Who may import whom: a room only what stands on a lower floor, and so no circle of rooms is possible.
FLOORS = (
    {"errors", "probabilities", "runs"},
    {"files", "gpus", "columns"},
    {"text_table"},
    {"reruns", "tables", "text"},
    {"estimates"},
    {"jobs"},
    {"data", "models", "ensemble"},
    {"config", "folds", "evaluation"},
    {"training", "export", "report"},
)
LIBRARY = SCRIPTS / "foldstack"


def room(path: Path) -> str:
    """A folder of the library, or a file that stands beside the folders."""
    first = path.relative_to(LIBRARY).parts[0]
    return first.removesuffix(".py")


def arrows() -> set[tuple[str, str, str]]:
    """(room, room that it imports, the file that does) of all imports between rooms."""
    found = set()
    for path in LIBRARY.rglob("*.py"):
        found |= {(room(path), room(taken.target), path.name) for taken in code_digest._parsed(path)[1]}
    return {arrow for arrow in found if arrow[0] != arrow[1]}


def test_imports_run_one_way_from_floor_to_floor():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    rooms = {room(path) for path in LIBRARY.rglob("*.py")} - {"__init__"}
    assert rooms == set(floor)
    assert not [arrow for arrow in sorted(arrows()) if floor[arrow[1]] >= floor[arrow[0]]]
    assert len({arrow[:2] for arrow in arrows()}) > 30


def test_rooms_that_decide_no_result_cannot_decide_one():
    """They are left out of the jobs' digests, so they may import nothing that counts, not even late or by name."""
    allowed = {*code_digest.PLUMBING, *(Path(name).stem for name in code_digest.BENEATH)}
    libraries = {"torch", "timm", "numpy", "pandas", "sklearn", "lightgbm", "PIL", "onnx", "onnxruntime"}
    for name in code_digest.PLUMBING:
        for path in (LIBRARY / name).rglob("*.py"):
            tree = ast.parse(path.read_text())
            imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            assert not {module.partition(".")[0] for module in imported} & libraries, path
            assert not imported & {"importlib", "runpy"}, path
            assert {room(taken.target) for taken in code_digest._parsed(path)[1]} <= allowed, path


def test_what_decides_no_result_is_in_no_digest():
    """A word in the lock, a lease, the terminal, TensorBoard trains nothing again."""
    for script in sorted(SCRIPTS.glob("*.py")):
        architectures = [()] + [(registry.module_name(name),) for name in ("small_cnn", "pair_net", "clip", "resnet18")]
        for extra in architectures if script.name.startswith("train") else [()]:
            files = [entry.partition("@")[0] for entry in code_digest.of_script(script.name, extra).files]
            assert files
            assert not [
                name for name in files if name.startswith(tuple(f"foldstack/{n}/" for n in code_digest.PLUMBING))
            ]


def test_every_room_has_its_sentence_and_an_empty_init():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for name in set().union(*FLOORS):
        assert re.search(rf"^\| `{name}(/|\.py)` \| .+ \|$", text, re.MULTILINE), name
    for path in LIBRARY.rglob("__init__.py"):
        assert not path.read_text(), f"{path} must stay empty: importing it would import more than is asked for"


def nodes(schema, where=""):
    yield where, schema
    for key, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{where}.{key}")


def test_the_schema_is_closed_and_describes_every_key():
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
    for root in (schema, schema["$defs"]["training"], schema["$defs"]["model"]):
        for where, node in nodes(root):
            if "properties" in node:
                assert node["additionalProperties"] is False, where
            if where:
                assert node.get("description", "").endswith("."), where


def test_parsing_the_workflow_imports_neither_torch_nor_timm_nor_lightgbm():
    code = (
        "import sys\nfrom snakemake.cli import main\n"
        "sys.argv = ['snakemake', '-n', '--quiet', '--cores', '1', '--forceall']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'timm', 'transformers', 'lightgbm', 'sklearn', 'matplotlib', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\nprint('light')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("light\n"), done.stderr


def test_no_path_of_a_machine_in_what_is_shipped():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path.suffix in {".png", ".npz", ".jpg"} or not path.exists():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"(?<![\w.<>}])/(work|home|root)/", line), f"{name}: {line}"


def test_the_default_profile_starts_one_gpu_job_at_a_time(project, tmp_path):
    """Without --resources gpu, plain Snakemake would start one GPU job a core."""
    made = project({"experiment": "x", "models": {"small_cnn": {}}})
    done = made.run("-n", "--forceall", env={"FOLDSTACK_FAKE_GPUS": "A,B"}, cores=8)
    assert "resources: gpu=1" in done.stdout + done.stderr or "gpu=1" in done.stdout + done.stderr
    profile = yaml.safe_load((ROOT / "profiles" / "default" / "config.v9+.yaml").read_text())
    assert profile["resources"] == ["gpu=1"]


def test_large_configs_answer_a_dry_run(project):
    models = {f"m{i:02}": {"architecture": "small_cnn"} for i in range(20)}
    made = project({"experiment": "large", "models": models, "seeds": list(range(5))})
    done = made.run("-n", "--quiet", "rules")
    assert re.search(r"train_fold\s+500\b", done.stdout + done.stderr)


def test_a_bad_config_is_one_line_and_no_traceback(project):
    made = project({"experiment": "x", "models": {"resnet19": {}}})
    done = made.run("-n", check=False)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "there is no architecture 'resnet19'; similar names are resnet18" in text
    assert "Traceback" not in text
    assert os.listdir(made.folder).count("results") == 0
