"""The README promises commands and files: they have to exist."""

import re
import shlex
from pathlib import Path

import pytest

from lewm.ablation.cells import make_cells
from lewm.config.command_line import check_overrides
from scripts.ablate import read_arguments

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.split("   #")[0].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip() and not line.startswith("#")
]
PROGRAMS = {
    "train.py": "train",
    "scripts/plan.py": "plan",
    "scripts/collect.py": "collect",
    "scripts/train_head.py": "train_head",
}


def overrides_of(words: list[str], program: str) -> list[str]:
    return words[words.index(program) + 1 :]


@pytest.mark.parametrize("command", [command for command in COMMANDS if any(name in command for name in PROGRAMS)])
def test_every_program_call_in_the_readme_has_valid_overrides(command: str) -> None:
    words = shlex.split(command)
    program = next(name for name in PROGRAMS if name in words)
    assert (ROOT / program).exists()
    assert all("=" in word or word.startswith("-") for word in overrides_of(words, program)), words
    check_overrides(PROGRAMS[program], overrides_of(words, program))


@pytest.mark.parametrize("command", [command for command in COMMANDS if "scripts/ablate.py" in command])
def test_every_ablation_in_the_readme_is_one(command: str) -> None:
    words = shlex.split(command)
    _, own, sweep = read_arguments(words[words.index("scripts/ablate.py") + 1 :])
    assert len(make_cells(sweep, Path("ablations"))) > 1
    assert any(word.startswith("name=") for word in own)


def test_every_script_of_a_command_exists() -> None:
    scripts = {word for command in COMMANDS for word in shlex.split(command) if word.endswith(".py")}
    assert "scripts/demos/gaussianize.py" in scripts
    assert [script for script in scripts if not (ROOT / script).exists()] == []


def test_the_readme_has_the_two_commands_of_the_quick_start() -> None:
    assert "uv run accelerate launch train.py" in COMMANDS
    assert "uv run pytest" in COMMANDS


def listed_files() -> list[str]:
    """The paths in the tree of files, from the root."""
    tree = next(block for language, block in BLOCKS if language == "text" and "train.py" in block)
    listed, folder = [], ""
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = ""
        listed.append(name if not line.startswith(" ") else folder + name)
        if name.endswith("/") and not line.startswith(" "):
            folder = name
    return listed


def test_every_file_that_the_readme_lists_or_links_exists() -> None:
    listed = listed_files()
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if not target.startswith("http")]
    assert len(listed) > 30
    missing = [name for name in listed + linked if not (ROOT / name).exists()]
    assert missing == []


def test_every_source_file_stands_in_the_readme_tree() -> None:
    sources = [path for part in ("lewm", "envs", "scripts", "hydra_plugins") for path in ROOT.glob(f"{part}/**/*.py")]
    paths = {str(path.relative_to(ROOT)) for path in sources if path.name != "__init__.py"}
    assert paths - set(listed_files()) == set()


def test_code_quoted_in_the_readme_is_the_code() -> None:
    quoted = next(block for language, block in BLOCKS if language == "python")
    body = [line.strip() for line in quoted.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    source = "\n".join(path.read_text() for path in ROOT.glob("lewm/**/*.py"))
    lines = {line.strip() for line in source.splitlines()}
    assert [line for line in body if line not in lines] == []
