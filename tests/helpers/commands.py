"""The commands of workflow/commands: as modules, and as a user types them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

COMMANDS = Path(__file__).resolve().parents[2] / "workflow" / "commands"


def load(name: str):
    """The command as a module."""
    spec = importlib.util.spec_from_file_location(name, COMMANDS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def typed(name: str, *arguments, cwd=None) -> subprocess.CompletedProcess:
    """The command in a process of its own; its exit code is not checked."""
    command = [sys.executable, str(COMMANDS / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
