"""The page of `make gpu` and the same as JSON, written anew after each check."""

import json
from pathlib import Path

from foldstack import files

NAME = "gpu"
REHEARSAL = (
    "**A rehearsal on stand-in GPUs: nothing on this page was measured on a GPU.** It trained on the CPU, with small "
    "settings, to see that the checks themselves work."
)
HEAD = """# {title}

`make gpu` writes this page and the same as `{name}.json`, after each check ([how to run it](../how-to/gpus.md)).

{what}

| check | outcome | seconds | limit | when | code |
|---|---|---|---|---|---|
{rows}
"""


def write(folder: Path, report: dict) -> None:
    """Write gpu.json and gpu.md, each whole or not at all.

    Args:
        report: `rehearsal`, `device` (`name`, `driver`, `memory_mib`), `versions`, and `checks`, a list of `name`,
            `shows`, `limit`, `outcome`, `sentence`, `seconds`, `figures`, `when`, `code` and perhaps `log`.
    """
    files.write_text(folder / f"{NAME}.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    files.write_text(folder / f"{NAME}.md", text(report))


def read(folder: Path) -> dict | None:
    """The report of an earlier run, or None."""
    path = folder / f"{NAME}.json"
    return files.read_json(path) if path.exists() else None


def text(report: dict) -> str:
    """The page, in Markdown."""
    device, versions = report["device"], report["versions"]
    what = f"{device['name']}, {device['memory_mib']:,.0f} MiB, driver {device['driver']}; " + ", ".join(
        f"{name} {version}" for name, version in versions.items()
    )
    rows = "\n".join(
        f"| [{check['name']}](#{check['name']}) | {check['outcome']} | {check['seconds']:.0f} | {check['limit']:.0f} "
        f"| {check['when']} | {check['code']} |"
        for check in report["checks"]
    )
    title = "Rehearsal: not on a GPU" if report["rehearsal"] else f"On a GPU: {device['name']}"
    head = HEAD.format(title=title, name=NAME, what=(REHEARSAL if report["rehearsal"] else what + "."), rows=rows)
    return "\n".join([head, *map(_section, report["checks"])])


def _section(check: dict) -> str:
    lines = [f"## {check['name']}", "", f"{check['shows']} **{check['outcome']}**"]
    lines[-1] += f": {check['sentence']}" if check["sentence"] else ""
    figures = [f"- {name.replace('_', ' ')}: {_shown(value)}" for name, value in check["figures"].items()]
    return "\n".join([*lines, *([""] if figures else []), *figures, ""])


def _shown(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        between = "; " if any(isinstance(one, dict) for one in value.values()) else ", "
        return between.join(f"{name} {_shown(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value)) or "none"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "none" if value is None else str(value)
