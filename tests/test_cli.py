import importlib
import subprocess
import sys
from contextlib import suppress

import pytest

from lewm import cli
from lewm.shipped import module_of, shipped


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["lewm", *words])
    cli.main()


@pytest.mark.parametrize("program", cli.COMMANDS.values())
def test_every_command_is_a_program_with_a_main(program):
    assert shipped(program).is_file() and callable(importlib.import_module(module_of(program)).main)


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_every_command_with_its_purpose(words, monkeypatch, capsys):
    run(monkeypatch, *words)
    lines = capsys.readouterr().out.splitlines()
    assert "  plan               Evaluates a trained run by planning" in lines
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(cli.COMMANDS)


def test_help_imports_no_torch():
    source = (
        "import sys; sys.argv = ['lewm', '--help']; from lewm import cli; cli.main(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", source], stdout=subprocess.DEVNULL).returncode == 0


def test_a_misspelt_command_gets_a_suggestion(monkeypatch):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "trian")
    assert end.value.code == "error: no command 'trian'; did you mean 'train'?"


@pytest.mark.parametrize("command", ["compare", "doctor", "plan", "train"])
def test_the_help_of_a_program_names_the_command(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lewm", command, "--help"])
    with suppress(SystemExit):
        cli.main()
    assert f"lewm {command} " in capsys.readouterr().out
