"""The benchmark of the readers compares the same episodes, and writes what it measured."""

import importlib.util
import json

import numpy as np
import pytest

from lewm.data.episodes import Episodes
from scripts.benchmarks import data as benchmark
from tests.programs import assert_one_line_error, run_program

# torchvision's, of the JPEG decoder that the peer uses where it is installed
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")

SMALL = ("--episodes", "2", "--steps", "25", "--sizes", "48", "--batch-size", "8", "--repeats", "2", "--threads", "1")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    benchmark.main([*SMALL, "--json", str(folder / "table.json"), "--folder", str(folder)])
    assert [path.name for path in folder.iterdir()] == ["table.json"]
    return json.loads((folder / "table.json").read_text())


def test_every_reader_has_a_row_with_its_speed(results):
    readers = [row["reader"] for row in results["rows"]]
    assert readers[:2] == ["native", "kept on cpu"]
    for row in results["rows"]:
        assert row["clips_per_s"] == pytest.approx(8 / row["batch_ms"] * 1e3)
    assert results["rows"][0]["times_slower"] == 1
    assert results["cold"] is False


def test_the_peer_is_measured_where_it_is_installed(results):
    installed = importlib.util.find_spec("stable_worldmodel") is not None
    assert results["peer_installed"] is installed
    assert sum(benchmark.PEER in row["reader"] for row in results["rows"]) == (3 if installed else 0)


def test_the_results_name_the_machine_and_the_versions(results):
    assert results["machine"]["num_cores"] >= 1
    assert results["versions"]["numpy"] == np.__version__


def test_files_can_be_dropped_from_the_page_cache_before_each_batch(tmp_path, capsys):
    benchmark.main([*SMALL, "--cold", "--folder", str(tmp_path)])
    assert "cold" in capsys.readouterr().out


def test_the_data_are_episodes_that_move(tmp_path):
    data = Episodes(benchmark.make_data(tmp_path / "data", 48, num_episodes=3, num_steps=25))
    assert data.lengths.tolist() == [25] * 3
    assert all(data.intact())
    for start in data.index.frame_offsets:
        assert len(np.unique(data.states[start : start + 26], axis=0)) > 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--episodes", "0"], ["--episodes 0"]),
        (["--repeats", "0"], ["--repeats 0"]),
        (["--steps", "19"], ["--steps 19", "20"]),
        (["--json", "/none/table.json"], ["--json", "/none"]),
    ],
)
def test_a_mistake_is_one_line(arguments, words):
    assert_one_line_error(run_program(benchmark.main, *arguments), *words)
