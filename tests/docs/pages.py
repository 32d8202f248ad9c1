"""The pages of the documentation and the fenced blocks in them."""

import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
RUN = "two_room_micro_sigreg_seed0"
"""Name of the run of README's first command."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


TOOLS = ("pytest", "tensorboard", "zensical", "bash")
"""Programs of a command that are no files of this repository."""


class Block(NamedTuple):
    """A fenced block.

    Attributes:
      page: path of its page from the root.
      language: bash, python, text, …; sh is for commands of older commits, in docs/studies.
      text: its lines, without the indentation of the fence.
    """

    page: str
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages, in the order of the pages."""
    found = []
    for page in PAGES:
        for indent, language, text in re.findall(
            r"^( *)```(\w+)\n(.*?)^\1```", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            assert len(indent) % 4 == 0, f"{page}: a fence is indented by {len(indent)}"
            if language in languages:
                found.append(Block(str(page.relative_to(ROOT)), language, textwrap.dedent(text)))
    return found


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line of every bash block, without comments."""
    return [
        (block.page, line.split("   #")[0].strip())
        for block in blocks("bash")
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.strip() and not line.startswith("#")
    ]


def program_and_arguments(command: str) -> tuple[str, list[str]]:
    """What a command starts behind its launchers, as a file or a tool, and the arguments of that.

    `lewm train-head run=a` starts scripts/train_head.py, `lewm train` train.py.
    """
    words = shlex.split(command)
    index = next(i for i, word in enumerate(words) if word.endswith(".py") or word in (*TOOLS, "lewm"))
    if words[index] != "lewm":
        return words[index], words[index + 1 :]
    name = words[index + 1].replace("-", "_")
    return "train.py" if name == "train" else f"scripts/{name}.py", words[index + 2 :]
