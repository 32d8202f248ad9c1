"""README is short, its two commands are there, and its code is the code."""

from tests.docs.pages import ROOT, blocks, commands

README = (ROOT / "README.md").read_text()


def test_the_readme_has_at_most_250_lines() -> None:
    assert len(README.splitlines()) <= 250


def test_the_readme_begins_with_the_two_commands_of_the_quick_start() -> None:
    first = [command for page, command in commands() if page == "README.md"][:2]
    assert first == ["uv run accelerate launch train.py", "uv run pytest"]


def test_the_method_quoted_in_the_readme_is_the_code() -> None:
    quoted = next(block.text for block in blocks("python") if block.page == "README.md")
    body = [line.strip() for line in quoted.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    source = "\n".join(path.read_text() for path in ROOT.glob("lewm/**/*.py"))
    lines = {line.strip() for line in source.splitlines()}
    assert len(body) > 10
    assert [line for line in body if line not in lines] == []
