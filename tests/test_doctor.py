import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lewm import doctor, precision
from lewm.doctor import Check, MissingError, examine, report
from scripts import doctor as program


def raising(error):
    def look():
        raise error

    return look


def found():
    return "version 1\nand more"


def lines_of(*checks):
    lines = []
    return report(checks, lines.append), lines


def test_what_is_there_is_ok_in_one_line():
    status, lines = lines_of(Check("git", found, "install git", is_needed=True))
    assert status == 0 and lines == ["ok      git            version 1", "training will work"]


def test_what_training_can_do_without_is_missing_and_the_status_stays_0():
    status, lines = lines_of(Check("git", raising(MissingError("not installed")), "install git"))
    assert status == 0 and lines == ["missing git            not installed: install git", "training will work"]


def test_what_training_needs_and_is_missing_makes_the_status_1_and_says_what_to_do():
    status, lines = lines_of(Check("disk", raising(MissingError("full")), "free some", is_needed=True))
    assert status == 1
    assert lines == ["FAILED  disk           full: free some", "training will not work: disk: free some"]


@pytest.mark.parametrize(
    "error", [ImportError("libcuda.so\nis broken"), OSError(28, "No space left"), SystemExit(3), AssertionError()]
)
def test_a_check_fails_alone_and_in_one_line_whatever_it_raises(error):
    status, lines = lines_of(Check("device", raising(error), "mend it", is_needed=True), Check("git", found, ""))
    assert status == 1 and len(lines) == 3
    assert type(error).__name__ in lines[0] and lines[0].endswith(": mend it") and "\n" not in lines[0]
    assert lines[1].startswith("ok      git")


def test_a_full_disk_is_found_and_a_free_one_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=doctor.GIBIBYTE))
    with pytest.raises(MissingError, match=r"^1\.0 GiB free in .* needs 3$"):
        doctor.disk()
    assert doctor.disk(least=0.5).startswith("1 GiB free")


def test_a_machine_without_git_is_told_to_install_it(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    check = next(check for check in doctor.CHECKS if check.name == "git")
    assert examine(check).line.startswith("missing git") and examine(check).line.endswith("install git")


def test_a_required_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda name: ["torch>=2.6", "no-such-package>=1", "h5py; extra == 'x'"])
    with pytest.raises(MissingError, match=r"^no-such-package not installed$"):
        doctor.versions()


def test_a_gpu_that_torch_does_not_see_is_missing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(MissingError, match="torch sees no GPU"):
        doctor.device()


@pytest.mark.parametrize("has_it", [True, False])
def test_bfloat16_is_there_where_auto_chooses_it(has_it, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has_it)
    check = next(check for check in doctor.CHECKS if check.name == "bfloat16")
    assert examine(check)[1:] == ((True, "in the CPU") if has_it else (False, "not in the CPU"))


@pytest.mark.parametrize(
    ("source", "text"), [("import sys; sys.exit('no g++')", "no g++"), ("import os; os._exit(7)", "ended with 7")]
)
def test_a_compiler_that_fails_says_why(source, text, monkeypatch):
    monkeypatch.setattr(doctor, "COMPILED", source)
    with pytest.raises(MissingError, match=f"^{text.replace('+', '.')}$"):
        doctor.compiler(timeout=600)


def test_a_compiler_that_does_not_end_is_given_up(monkeypatch):
    def never_end(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(doctor.subprocess, "run", never_end)
    with pytest.raises(MissingError, match=r"^no result within 60 s$"):
        doctor.compiler()


def test_a_machine_that_cannot_draw_says_why(monkeypatch):
    monkeypatch.setattr(program.mujoco_gl, "why_unavailable", lambda: "neither EGL nor OSMesa")
    assert examine(program.RENDERING).text == "neither EGL nor OSMesa"


def test_a_step_of_training_and_a_plan_work_here():
    assert examine(doctor.CHECKS[-1]).line.startswith("ok      step and plan  works (loss 0.")


def test_a_step_of_training_that_fails_is_a_finding(monkeypatch):
    monkeypatch.setitem(sys.modules, "lewm.trial", None)
    assert examine(doctor.CHECKS[-1]).line.startswith("FAILED  step and plan")


def test_the_program_ends_with_the_status_of_its_checks(monkeypatch, capsys):
    failing = Check("memory", raising(MissingError("none")), "end other programs", is_needed=True)
    monkeypatch.setattr(program, "CHECKS", (failing,))
    monkeypatch.setattr(program, "RENDERING", Check("rendering", found, ""))
    with pytest.raises(SystemExit) as end:
        program.main([])
    assert end.value.code == 1
    assert capsys.readouterr().out.splitlines()[-1] == "training will not work: memory: end other programs"
