"""The ablation program with a stand-in for train.py, and once with train.py itself."""

import json
import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from lewm.ablation import launching
from lewm.ablation.cells import make_cells
from lewm.ablation.launching import CellTask, Place, places
from lewm.data.identity import choose_path
from lewm.errors import InputError
from lewm.files import run_lock
from lewm.tracking import read_metrics
from scripts import ablate
from tests import LAST_NET_S
from tests.ablation.fake_cells import write_cell
from tests.programs import TINY, assert_one_line_error, run_program

# Does to a cell what a file named after the cell says, with results that were made before; nothing is imported that
# takes long.
STAND_IN = """
import json, os, pathlib, shutil, signal, sys, time
given = dict(word.split("=", 1) for word in sys.argv[2:])
made, folder = pathlib.Path(sys.argv[1]) / given["name"], pathlib.Path(given["output_dir"]) / given["name"]
place = {key: os.environ.get(key) for key in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
with (folder / "starts.jsonl").open("a") as file:
    file.write(json.dumps({**given, **place}) + "\\n")
shutil.copy(made / "config.yaml", folder)
plan = made.with_suffix(".plan")
plan = plan.read_text() if plan.exists() else ""
if plan == "fail":
    sys.exit("error: the loss is nan")
if plan == "wait":
    def end(*_):
        (folder / "checkpoint").touch()
        sys.exit(130)
    signal.signal(signal.SIGINT, end)
    (folder / "metrics.jsonl").write_text('{"step": 4}\\n')
    while True:
        signal.pause()
shutil.copytree(made, folder, dirs_exist_ok=True)
"""
SWEEP = ("regularizer=sigreg,none", "seed=0,1")


class Ablation:
    """The program on SWEEP in a folder of its own, with STAND_IN for train.py.

    Attributes:
      folder: of the ablation.
      command: what the arguments of a cell are appended to.
    """

    def __init__(self, folder):
        self.folder, self._made = folder / "out" / "test", folder / "made"
        (folder / "data").mkdir()
        (folder / "stand_in.py").write_text(STAND_IN)
        self.arguments = (*SWEEP, f"output_dir={folder}/out", "name=test", f"data.path={folder}/data", "device=cpu")
        self.command = (sys.executable, str(folder / "stand_in.py"), str(self._made))
        split = f"evaluation.split={ablate.SPLIT}"  # as ablate.py has it unless told otherwise
        cells = make_cells([split, *SWEEP, f"data.path={folder}/data", "device=cpu"], self._made)
        for number, cell in enumerate(cells):
            write_cell(cell, [True] * (5 - number) + [False] * number, {"val/effective_rank": 3.0 + number})

    def run(self, *arguments):
        """What the program ends with."""
        return run_program(lambda: ablate.main(self.command), *self.arguments, *arguments)

    def plan(self, cell, what):
        """What STAND_IN does to a cell: "fail", "wait" for SIGINT, or "", which is to finish it."""
        (self._made / f"{cell}.plan").write_text(what)

    def starts(self, cell):
        """The arguments of every start of a cell."""
        path = self.folder / cell / "starts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


CELLS = ("sigreg_seed0", "sigreg_seed1", "none_seed0", "none_seed1")


@pytest.fixture
def ablation(tmp_path):
    return Ablation(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An ablation that has run once; tests start nothing in it."""
    ablation = Ablation(tmp_path_factory.mktemp("finished"))
    assert ablation.run() == 0
    return ablation


def test_every_cell_is_run_and_reported(finished):
    for cell in CELLS:
        assert [start["resume"] for start in finished.starts(cell)] == ["false"]
    for name in ("index.html", "cells.csv", "overview.png", "curves.png"):
        assert (finished.folder / name).stat().st_size > 0


def test_run_again_it_reports_and_starts_nothing(finished, capsys):
    assert finished.run() == 0
    assert [len(finished.starts(cell)) for cell in CELLS] == [1, 1, 1, 1]
    assert "none: strict success 50.0% against 90.0% of sigreg" in capsys.readouterr().out


def test_a_report_alone_starts_nothing(finished):
    assert_one_line_error(finished.run("report_only=true", "name=other"), "holds none of these cells", "report_only")
    assert finished.run("report_only=true", "seed=0,1,2") == 1
    assert not finished.starts("sigreg_seed2")


def test_other_settings_are_refused_before_anything_starts(finished):
    code = finished.run("training.learning_rate=0.5", "seed=5,1")
    assert_one_line_error(code, "training.learning_rate=0.001, not 0.5", "name=")
    assert not finished.starts("sigreg_seed5")


def test_a_failed_cell_is_shown_while_the_others_go_on_and_is_tried_again(ablation, capsys):
    ablation.plan("sigreg_seed0", "fail")
    assert ablation.run() == 1
    assert "failed: sigreg_seed0: the loss is nan" in capsys.readouterr().out
    assert [(ablation.folder / cell / "results.json").exists() for cell in CELLS] == [False, True, True, True]
    assert "sigreg_seed0 failed: the loss is nan" in (ablation.folder / "index.html").read_text()
    ablation.plan("sigreg_seed0", "")
    assert ablation.run() == 0
    assert [len(ablation.starts(cell)) for cell in CELLS] == [2, 1, 1, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_ctrl_c_lets_running_cells_write_checkpoints_and_the_same_command_goes_on(ablation, capsys, number):
    for cell in CELLS[:2]:
        ablation.plan(cell, "wait")
    with ctrl_c_when(ablation.folder / CELLS[0] / "metrics.jsonl", number=number):
        assert ablation.run("jobs=1") == 130
    assert (ablation.folder / CELLS[0] / "checkpoint").exists()
    assert not ablation.starts(CELLS[1])
    assert "The same command goes on" in capsys.readouterr().out.replace("\n", " ")
    for cell in CELLS[:2]:
        ablation.plan(cell, "")
    assert ablation.run() == 0
    assert [start["resume"] for start in ablation.starts(CELLS[0])] == ["false", "true"]


@contextmanager
def ctrl_c_when(*paths, number=signal.SIGINT):
    """Presses Ctrl-C once when all files are there; not after the block, nor when it has ended by itself.

    Other signals may be sent in its place.
    """
    left = threading.Event()

    def press():
        for _ in range(20 * LAST_NET_S):
            if all(path.exists() for path in paths):
                os.kill(os.getpid(), number)
                return
            if left.wait(0.05):
                return

    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


def test_a_cell_writes_its_checkpoint_before_the_launcher_of_a_cluster_that_handles_its_signal_ends_the_job(ablation):
    def requeue(number, frame):
        raise SystemExit(-1)  # as submitit does

    cell = next(cell for cell in make_cells(ablation.arguments, ablation.folder) if cell.name == CELLS[0])
    ablation.plan(cell.name, "wait")
    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        with ctrl_c_when(cell.folder / "metrics.jsonl", number=signal.SIGUSR2), pytest.raises(SystemExit) as end:
            CellTask({cell.name: cell}, ablation.command)(SimpleNamespace(cell=cell.name))
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert end.value.code == -1
    assert (cell.folder / "checkpoint").exists()


def test_as_many_cells_run_at_once_as_jobs_says(ablation):
    for cell in CELLS:
        ablation.plan(cell, "wait")
    with ctrl_c_when(*(ablation.folder / cell / "metrics.jsonl" for cell in CELLS[:3])):
        ablation.run("jobs=3")
    assert [len(ablation.starts(cell)) for cell in CELLS] == [1, 1, 1, 0]


def test_a_cell_has_one_thread_unless_told_otherwise(finished, ablation):
    start = finished.starts(CELLS[0])[0]
    assert (start["num_threads"], start["OMP_NUM_THREADS"]) == ("1", "1")
    ablation.run("num_threads=2", "seed=0")
    start = ablation.starts(CELLS[0])[0]
    assert (start["num_threads"], start["OMP_NUM_THREADS"]) == ("2", "2")


@pytest.mark.parametrize(
    ("num_threads", "jobs", "jobs_per_gpu", "gpus", "expected"),
    [
        (None, None, None, [], [Place(1)] * 8),
        (3, None, None, [], [Place(3)] * 2),
        (None, 5, None, [], [Place(1)] * 5),
        (16, None, None, [], [Place(16)]),
        (None, None, None, ["2", "5"], [Place(4, "2"), Place(4, "5")]),
        (None, 3, None, ["0", "1"], [Place(2, "0"), Place(2, "1"), Place(2, "0")]),
        (1, None, None, ["0"], [Place(1, "0")]),
        (None, None, 4, ["0"], [Place(2, "0")] * 4),
        (None, None, 2, ["2", "5"], [Place(2, "2"), Place(2, "5"), Place(2, "2"), Place(2, "5")]),
        (None, 3, 2, ["2", "5"], [Place(2, "2"), Place(2, "5"), Place(2, "2")]),
        (None, None, 16, ["0"], [Place(1, "0")] * 16),
    ],
)
def test_cells_share_the_cores_and_gpus_of_a_machine(num_threads, jobs, jobs_per_gpu, gpus, expected):
    assert places(num_threads, jobs, jobs_per_gpu, 8, gpus) == expected


@pytest.mark.parametrize(
    ("jobs", "gpus", "words"), [(None, [], "the cells run on the CPU: give jobs="), (5, ["0", "1"], "jobs=5 is more")]
)
def test_a_share_of_gpus_that_are_not_there_is_refused(jobs, gpus, words):
    with pytest.raises(InputError, match=words):
        places(None, jobs, 2, 8, gpus)


def test_so_many_cells_as_share_a_gpu_run_at_once_and_each_sees_that_gpu(ablation, monkeypatch):
    monkeypatch.setattr(launching.torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    for cell in CELLS:
        ablation.plan(cell, "wait")
    with ctrl_c_when(*(ablation.folder / cell / "metrics.jsonl" for cell in CELLS[:3])):
        ablation.run("jobs_per_gpu=3", "device=auto")
    assert [[start["CUDA_VISIBLE_DEVICES"] for start in ablation.starts(cell)] for cell in CELLS] == [["3"]] * 3 + [[]]


def test_a_share_of_a_gpu_on_a_cpu_is_refused_before_anything_starts(ablation):
    assert_one_line_error(ablation.run("jobs_per_gpu=3"), "jobs_per_gpu=3", "jobs=")
    assert [ablation.starts(cell) for cell in CELLS] == [[], [], [], []]


def test_two_programs_do_not_write_one_ablation(finished):
    with run_lock(finished.folder):
        assert_one_line_error(finished.run(), "another process is writing", "name=")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("regularizer=sigreg,wristbnd", ("no regularizer 'wristbnd'", "did you mean 'wristband'")),
        ("regularizer.wieght=1,2", ("regularizer.wieght", "did you mean 'regularizer.weight'")),
        ("training.num_steps=a,b", ("training.num_steps",)),
        ("jobs=0", ("jobs=0",)),
        ("jobs=many", ("jobs",)),
        ("hydra/launcher=slrm", ("no launcher 'slrm'", "local, slurm")),
        ("--cfg", ("--cfg", "key=value")),
        ("sigreg", ("'sigreg'", "key=value")),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(finished, argument, words):
    assert_one_line_error(finished.run("name=mistake", argument), *words)
    assert not (finished.folder.parent / "mistake").exists()


@pytest.mark.parametrize(
    ("package", "words"), [(None, "needs a package: uv pip install hydra-submitit-launcher"), (object(), "no srun")]
)
def test_a_cluster_needs_a_package_and_a_machine_of_it(monkeypatch, package, words):
    monkeypatch.setattr(ablate.importlib.util, "find_spec", lambda name: package)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=words):
        ablate.check_launcher(["hydra/launcher=slurm"])


def test_recordings_that_are_not_there_are_asked_for_in_one_line(tmp_path):
    arguments = (*SWEEP, "env=recorded", f"data.path={tmp_path}/nowhere", f"output_dir={tmp_path}/out", "name=test")
    code = run_program(lambda: ablate.main((sys.executable, "-c", "raise SystemExit")), *arguments)
    assert_one_line_error(code, f"no dataset at {tmp_path}/nowhere", "data.path=")


def test_cells_on_recordings_are_reported(tmp_path, capsys):
    arguments = (*SWEEP, "env=recorded", f"data.path={tmp_path}/data")
    for number, cell in enumerate(make_cells(arguments, tmp_path / "out" / "test")):
        write_cell(cell, [], {"val/effective_rank": 3.0 + 6 * (number > 1) + number / 10})
        path = cell.folder / "results.json"
        results = json.loads(path.read_text())
        path.write_text(json.dumps({key: results[key] for key in ("identity", "diagnostics")}))
    assert run_program(ablate.main, *arguments, f"output_dir={tmp_path}/out", "name=test", "report_only=true") == 0
    assert "none against sigreg: no success to compare" in capsys.readouterr().out


def test_nothing_swept_is_nothing_to_compare(tmp_path):
    code = run_program(ablate.main, f"output_dir={tmp_path}", "regularizer=sigreg")
    assert_one_line_error(code, "nothing to compare", "regularizer=sigreg,wristband")


def test_an_ablation_without_a_name_is_named_after_what_is_swept():
    config, own, sweep = ablate.read_arguments(["regularizer=sigreg,none", "regularizer.weight=1,2", "seed=0,1"])
    assert config.name == "regularizer_regularizer.weight"
    assert "name=regularizer_regularizer.weight" in own
    assert sweep == ["evaluation.split=validation", "regularizer=sigreg,none", "regularizer.weight=1,2", "seed=0,1"]


def test_help_tells_the_programs_own_keys(capsys):
    run_program(ablate.main, "--help")
    printed = capsys.readouterr().out
    for key in ablate.OWN_KEYS:
        assert f"{key}=" in printed


@pytest.mark.slow
def test_a_real_sweep_trains_evaluates_and_probes_every_cell(tmp_path):
    tiny = [word for word in TINY if not word.startswith("name=")]
    arguments = [*tiny, "regularizer=sigreg,sigreg_paper", "seed=0,1", f"data.path={tmp_path}/data"]
    assert run_program(ablate.main, *arguments, f"output_dir={tmp_path}", "name=real") == 0
    for cell in ("sigreg_seed0", "sigreg_seed1", "sigreg_paper_seed0", "sigreg_paper_seed1"):
        metrics = read_metrics(Path(tmp_path / "real" / cell))
        assert any("probe/r2_agent_x" in line for line in metrics)
        assert (tmp_path / "real" / cell / "results.json").exists()
    assert "probe R²" in (tmp_path / "real" / "index.html").read_text()


def test_cells_that_ask_for_other_data_train_on_other_data(tmp_path):
    sizes = "env.collection.num_episodes=100,1000"
    cells = make_cells(["env=two_room", sizes], tmp_path)
    paths = {choose_path(cell.config.env, cell.config.data.path, cell.config.data.root) for cell in cells}
    assert len(paths) == 2
