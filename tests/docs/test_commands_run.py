"""The commands of README and docs that need a trained run are given, on a small one."""

import shlex
from pathlib import Path

import pytest

from lewm.data.identity import dataset_path
from scripts import compare, data, export, plan, train_head
from tests.docs.pages import RUN, commands, program_and_arguments
from tests.programs import TINY_EVALUATION, compose, run_program

MAIN = {
    "scripts/train_head.py": train_head.main,
    "scripts/plan.py": plan.main,
    "scripts/compare.py": compare.main,
    "scripts/data.py": data.main,
    "scripts/export.py": export.main,
}
DATASET = str(dataset_path(compose().env))
"""Folder of the dataset of README's first command; the small one of these tests is beside it."""
COMMANDS = {command for _, command in commands() if f"runs/{RUN}" in command or DATASET in command}
MAIN_PATH = {
    f"uv run lewm plan run=runs/{RUN} planner=cem name=plan_cem",
    f"uv run lewm compare runs/{RUN} runs/{RUN}/plan_cem",
    f"uv run lewm data info {DATASET}",
}


def program_of(command: str) -> str:
    return program_and_arguments(command)[0]


def shrunken(command: str) -> list[str]:
    """The arguments of a command, and what makes its work small; the working directory holds the run."""
    program, arguments = program_and_arguments(command.replace(DATASET, str(next(Path("data/two_room").iterdir()))))
    if program == "scripts/train_head.py":
        return [*arguments, "fitting.num_steps=2", "num_threads=1"]
    if program == "scripts/plan.py":
        is_icem = not any(word.startswith(("planner=cem", "protocol=lewm")) for word in arguments)
        small = [word for word in TINY_EVALUATION if is_icem or not word.startswith("planner.num_kept")]
        return [*arguments, *small, "planning.num_executed=1", "num_threads=1"]
    return arguments


@pytest.fixture(scope="module")
def worked(home: Path) -> Path:
    """The folder after all commands, those that others build upon first."""
    order = list(MAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for command in sorted(COMMANDS, key=lambda command: (order.index(program_of(command)), command)):
            assert run_program(MAIN[program_of(command)], *shrunken(command)) is None, command
    return home


def test_the_main_path_of_the_readme_is_among_them() -> None:
    readme = {command for page, command in commands() if page == "README.md"}
    assert readme >= MAIN_PATH
    assert COMMANDS >= MAIN_PATH


def test_the_run_has_what_readme_says(worked: Path) -> None:
    left = ("results.json", "report.html", "overview.png", "metrics.jsonl", "checkpoints/step_0000006")
    assert [name for name in left if not (worked / "runs" / RUN / name).exists()] == []


def test_every_plan_of_the_docs_leaves_results_under_its_name(worked: Path) -> None:
    names = [word[5:] for command in COMMANDS for word in shlex.split(command) if word.startswith("name=")]
    assert len(names) > 5
    assert [name for name in names if not (worked / "runs" / RUN / name / "results.json").exists()] == []


def test_every_head_of_the_docs_is_fitted(worked: Path) -> None:
    names = [word[5:] for command in COMMANDS for word in shlex.split(command) if word.startswith("head=")]
    assert len(names) > 1
    assert [name for name in names if not (worked / "runs" / RUN / "heads" / name).is_dir()] == []
