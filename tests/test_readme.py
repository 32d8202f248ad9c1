"""README is short, its code is the code, and its main path runs."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import train
from scripts import compare, data, plan
from tests.docs.pages import ROOT, blocks, commands
from tests.programs import TINY, TINY_EVALUATION, run_program

README = (ROOT / "README.md").read_text()
COMMANDS = [command for page, command in commands() if page == "README.md"]
RUN = "two_room_micro_sigreg_seed0"
MAIN_PATH = (
    "uv run accelerate launch train.py",
    f"uv run scripts/plan.py run=runs/{RUN} planner=cem name=plan_cem",
    f"uv run scripts/compare.py runs/{RUN} runs/{RUN}/plan_cem",
    "uv run scripts/data.py info data/two_room",
)


def test_the_readme_has_at_most_250_lines() -> None:
    assert len(README.splitlines()) <= 250


def test_the_readme_has_the_two_commands_of_the_quick_start() -> None:
    assert COMMANDS[:2] == ["uv run accelerate launch train.py", "uv run pytest"]


def test_the_method_quoted_in_the_readme_is_the_code() -> None:
    quoted = next(block.text for block in blocks("python") if block.page == "README.md")
    body = [line.strip() for line in quoted.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    source = "\n".join(path.read_text() for path in ROOT.glob("lewm/**/*.py"))
    lines = {line.strip() for line in source.splitlines()}
    assert len(body) > 10
    assert [line for line in body if line not in lines] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the main path was gone, with a model of seconds; README's words come first."""
    folder = tmp_path_factory.mktemp("main_path")
    small = [word for word in TINY if not word.startswith("name=")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in MAIN_PATH:
            words = shlex.split(command)
            program = next(word for word in words if word.endswith(".py"))
            arguments = words[words.index(program) + 1 :]
            if program == "train.py":
                assert run_program(train.main, *arguments, *small) is None
            elif program == "scripts/plan.py":
                evaluation = [word for word in TINY_EVALUATION if not word.startswith("planner.num_kept")]
                assert run_program(plan.main, *arguments, *evaluation, "num_threads=1") is None
            else:
                main = {"scripts/compare.py": compare.main, "scripts/data.py": data.main}[program]
                assert run_program(main, *arguments) is None
    return folder


def test_the_main_path_stands_in_the_readme() -> None:
    assert [command for command in MAIN_PATH if command not in COMMANDS] == []


def test_the_main_path_leaves_what_the_readme_says(folder: Path) -> None:
    run = folder / "runs" / RUN
    left = ("checkpoints/step_0000006", "results.json", "report.html", "overview.png", "plan_cem/results.json")
    assert [name for name in left if not (run / name).exists()] == []


def test_the_agent_of_the_readme_plans(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    example = next(block.text for block in blocks("python") if block.page == "README.md" and "Agent.load" in block.text)
    frame = np.zeros((48, 48, 3), np.uint8)
    names: dict[str, Any] = {"frames": frame[None], "past_actions": np.zeros((0, 2)), "goal_frame": frame}
    exec(example, names)
    assert names["plan"].actions.shape == (25, 2)
    assert names["session"].plan().actions.shape == (1, 25, 2)
