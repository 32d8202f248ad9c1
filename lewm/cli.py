"""Command line `lewm`: one command for each program."""

import ast
import importlib
import sys

from lewm.config.components import suggestion
from lewm.shipped import module_of, shipped
from lewm.terminal import print_plainly

COMMANDS = {
    "train": "train.py",
    "speedrun": "scripts/speedrun.py",
    "plan": "scripts/plan.py",
    "collect": "scripts/collect.py",
    "data": "scripts/data.py",
    "import-checkpoint": "scripts/import_checkpoint.py",
    "export-checkpoint": "scripts/export_checkpoint.py",
    "export": "scripts/export.py",
    "ablate": "scripts/ablate.py",
    "compare": "scripts/compare.py",
    "report": "scripts/report.py",
    "train-head": "scripts/train_head.py",
    "sensitivity": "scripts/sensitivity.py",
    "planner-study": "scripts/planner_study.py",
    "gaussianity": "scripts/gaussianity.py",
    "doctor": "scripts/doctor.py",
}
"""Command -> program, as its file lies in the repository."""


def main() -> None:
    """Runs the program that the first word names, on the words after it. Programs are imported only when asked for."""
    print_plainly()
    command, *words = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(overview())
        return
    if command not in COMMANDS:
        sys.exit(f"error: no command {command!r}{suggestion(command, COMMANDS)}")
    sys.argv = [f"lewm {command}", *words]
    importlib.import_module(module_of(COMMANDS[command])).main()


def overview() -> str:
    """The text of `lewm --help`: every command with the first line of its program's docstring."""
    lines = [f"  {command:<19}{summary(program)}" for command, program in COMMANDS.items()]
    return "\n".join(["usage: lewm command [...]", "", *lines, "", "`lewm command --help` lists what a command takes."])


def summary(program: str) -> str:
    """The first sentence of a program's docstring, without importing it."""
    line = (ast.get_docstring(ast.parse(shipped(program).read_text(encoding="utf-8"))) or "").split("\n")[0]
    return line.split(": `")[0].rstrip(".")


if __name__ == "__main__":
    main()
