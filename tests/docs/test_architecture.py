"""The tree of files in docs/architecture.md is that of the repository."""

import re

from tests.docs.pages import ROOT, blocks
from tests.test_floors import FLOORS


def listed_files() -> list[str]:
    """The paths in the tree of files, from the root; folders end with a slash."""
    tree = next(block.text for block in blocks("text") if block.page == "docs/architecture.md")
    listed, folders = [], []
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        del folders[depth:]
        listed.append("".join(folders) + name)
        folders.append(name)
    return listed


def test_every_file_of_the_tree_exists() -> None:
    listed = listed_files()
    assert len(listed) > 150
    assert [name for name in listed if not (ROOT / name).exists()] == []


def test_every_source_file_stands_in_the_tree() -> None:
    sources = [path for part in ("lewm", "envs", "scripts", "hydra_plugins") for path in ROOT.glob(f"{part}/**/*.py")]
    paths = {str(path.relative_to(ROOT)) for path in sources if path.name != "__init__.py"}
    assert paths - set(listed_files()) == set()


def test_every_line_of_the_tree_says_what_is_there() -> None:
    tree = next(block.text for block in blocks("text") if block.page == "docs/architecture.md")
    assert [line for line in tree.splitlines() if len(line.split()) < 2 or "TODO" in line] == []


def test_the_floors_of_the_page_are_those_that_are_tested() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \|", page.split("## A training step")[0], re.MULTILINE)
    assert [set(re.findall(r"`([\w.]+)`", row)) for row in rows] == FLOORS[::-1]
