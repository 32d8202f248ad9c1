"""Whatever a terminal's or a machine's encoding is, programs print, and their files are UTF-8."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lewm.files import write_text
from lewm.terminal import PLAIN, print_plainly
from scripts import data
from tests import LAST_NET_S
from tests.evaluation.finished import write_evaluation

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for pattern in ("lewm/**/*.py", "scripts/**/*.py", "envs/**/*.py", "*.py") for path in ROOT.glob(pattern)
)


@pytest.fixture
def terminal(monkeypatch):
    """Function that makes stdout one of an encoding, and returns what has been printed there, as bytes."""

    def attach(encoding):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, write_through=True))
        return written.getvalue

    return attach


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", b"1 +- 2 ... \\xf6 \\udcff"),
        ("latin-1", b"1 \xb1 2 ... \xf6 \\udcff"),
        ("utf-8", "1 ± 2 … ö \\udcff".encode()),
    ],
)
def test_what_an_encoding_lacks_is_spelled(terminal, encoding, printed):
    written = terminal(encoding)
    print_plainly()
    print("1 ± 2 … ö \udcff", end="")
    assert written() == printed


def test_spellings_are_plain():
    assert all(spelling.isascii() for spelling in PLAIN.values())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_table_with_an_ellipsis_is_printed_on_a_terminal_that_has_none(
    terminal, monkeypatch, two_room_data, encoding
):
    monkeypatch.setenv("COLUMNS", "24")  # too narrow
    written = terminal(encoding)
    data.main(["info", str(two_room_data.path)])
    assert b"..." in written()


def test_a_machine_without_utf_8_writes_and_reads_files_in_utf_8(tmp_path):
    write_evaluation(tmp_path, [True, False], [False, False], run="größe")
    (tmp_path / "config.yaml").write_text("name: größe\n", encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "scripts.report", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=False,
        timeout=LAST_NET_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>größe</h1>" in page and "name: größe" in page


def test_a_path_of_any_bytes_is_written_as_these_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_text(tmp_path / "text", name)
    assert (tmp_path / "text").read_bytes() == b"caf\xe9"


def opened_without_encoding(source):
    """Lines of calls that open text files in the encoding of the machine."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(word.arg in ("encoding", None) for word in node.keywords):
            continue
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        is_open = method == "open" or (isinstance(node.func, ast.Name) and node.func.id == "open")
        arguments = node.args if method == "open" else node.args[1:]
        mode = next((each.value for each in arguments if isinstance(each, ast.Constant)), "r" if not arguments else "b")
        decodes = any(
            word.arg == "text" and isinstance(word.value, ast.Constant) and word.value.value is True
            for word in node.keywords
        )
        if method in ("read_text", "write_text") or (is_open and "b" not in str(mode)) or decodes:
            yield node.lineno


@pytest.mark.parametrize(
    "source", ["p.read_text()", "p.write_text(x)", "p.open()", "p.open('a')", "open(p)", "run(c, text=True)"]
)
def test_this_search_finds_text_in_the_encoding_of_the_machine(source):
    assert list(opened_without_encoding(source)) == [1]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_file_and_no_output_of_a_process_is_read_or_written_in_the_encoding_of_the_machine(path):
    assert list(opened_without_encoding(path.read_text(encoding="utf-8"))) == []
