"""Every command that a page or the Makefile offers is executed: by `make commands`, or by a test that is named."""

import ast
import re

import documented_commands as table
import pytest
from project import ROOT

OFFERED = table.documented(ROOT)


def test_every_documented_command_is_executed_somewhere():
    assert len(OFFERED) > 80
    complaints = [words for offer in OFFERED if (words := table.complaint(*offer))]
    assert not complaints, "\n".join(complaints)


def test_every_target_of_the_makefile_is_among_them():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert {f"make {target}" for target in phony} == {command for page, command in OFFERED if page == "Makefile"}


@pytest.mark.parametrize("row", table.ROWS, ids=lambda row: row.name)
def test_a_row_belongs_to_a_documented_command_and_names_one_way_to_execute_it(row):
    assert any(re.fullmatch(row.pattern, command) for _, command in OFFERED), "nothing offers it any more; remove it"
    assert bool(row.check) != bool(row.test)
    if row.test:
        path, _, name = row.test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, row.test


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("Type `make coffee` first.", "make coffee"),
        ("Type `make demo\nCUPS=2` first.", "make demo CUPS=2"),
        ("```bash\nbrew coffee --strong  # why not\n```\n", "brew coffee --strong"),
        ("```\nsnakemake coffee \\\n    --cores 2\nserved.\n```\n", "snakemake coffee --cores 2"),
        ("`CUPS=2 python coffee.py`", "CUPS=2 python coffee.py"),
    ],
)
def test_a_command_that_nothing_executes_is_caught(text, command):
    assert table.commands_in(text) == [command]
    assert table.complaint("page.md", command).startswith(f"page.md offers `{command}`, which no rows of ROWS")


def test_what_is_no_command_is_left_alone():
    assert table.commands_in("`make` calls `snakemake`; `lr` is `0.1`.\n```yaml\nmodels: {make: it}\n```\n") == []


def test_a_command_that_two_rows_match_is_caught(monkeypatch):
    monkeypatch.setattr(table, "ROWS", [*table.ROWS, table.Row("make d.*", "make docs")])
    assert "which 2 rows" in table.complaint("page.md", "make demo")
