"""Every command of the documentation is one that its program takes."""

import re
from pathlib import Path

import pytest

from lewm.ablation.cells import make_cells
from lewm.config.command_line import check_overrides
from scripts import data
from scripts.ablate import read_arguments
from tests.docs.pages import ROOT, TOOLS, commands, program_and_arguments

COMMANDS = sorted({command for _, command in commands()})
HYDRA = {
    "train.py": "train",
    "scripts/speedrun.py": "speedrun",
    "scripts/import_checkpoint.py": "import_checkpoint",
    "scripts/plan.py": "plan",
    "scripts/collect.py": "collect",
    "scripts/train_head.py": "train_head",
}
PARSED = {command: program_and_arguments(command) for command in COMMANDS}


def of(*programs: str) -> list[str]:
    return [command for command, (program, _) in PARSED.items() if program in programs]


def test_every_program_of_a_command_exists() -> None:
    programs = {program for program, _ in PARSED.values()}
    assert {"train.py", "scripts/plan.py", "scripts/data.py", "scripts/ablate.py"} <= programs
    assert [program for program in programs if program not in TOOLS and not (ROOT / program).exists()] == []


@pytest.mark.parametrize("command", of(*HYDRA))
def test_every_program_call_has_valid_overrides(command: str) -> None:
    program, arguments = PARSED[command]
    assert all("=" in word or word.startswith("-") for word in arguments)
    check_overrides(HYDRA[program], arguments)


@pytest.mark.parametrize("command", of("scripts/ablate.py"))
def test_every_ablation_is_one(command: str) -> None:
    _, own, sweep = read_arguments(PARSED[command][1])
    assert len(make_cells(sweep, Path("ablations"))) > 1
    assert any(word.startswith("name=") for word in own)


@pytest.mark.parametrize("command", of("scripts/data.py"))
def test_every_data_command_is_one(command: str) -> None:
    assert data.parser().parse_args(PARSED[command][1]).run


def test_every_option_of_another_script_is_in_the_script() -> None:
    known = (*HYDRA, *TOOLS, "scripts/ablate.py", "scripts/data.py")
    others = [(program, arguments) for program, arguments in PARSED.values() if program not in known]
    unknown = [
        (program, option)
        for program, arguments in others
        for option in re.findall(r"--[\w-]+", " ".join(arguments))
        if f'"{option}"' not in (ROOT / program).read_text()
    ]
    assert len(others) > 4
    assert unknown == []
