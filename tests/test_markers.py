"""Tests that need a GPU are those marked gpu: `pytest -m gpu` selects exactly them, and they are skipped elsewhere."""

import re
from pathlib import Path

import pytest
import torch

from tests.conftest import pytest_collection_modifyitems

TESTS = Path(__file__).parent


def test_no_test_asks_for_a_gpu_by_other_means_than_the_marker():
    asking = re.compile(r"skipif\(\s*not torch\.cuda|reason=\"needs a GPU\"")
    files = [path for path in TESTS.rglob("*.py") if path not in (TESTS / "conftest.py", Path(__file__))]
    assert len(files) > 100
    assert [str(path) for path in files if asking.search(path.read_text())] == []


def test_every_test_of_the_folder_gpu_is_marked():
    files = list((TESTS / "gpu").glob("test_*.py"))
    assert files
    assert [path.name for path in files if "\npytestmark = pytest.mark.gpu\n" not in path.read_text()] == []


class Item:
    """A collected test."""

    def __init__(self, *markers):
        self.markers = list(markers)

    def get_closest_marker(self, name):
        return next((marker for marker in self.markers if marker.name == name), None)

    def add_marker(self, marker):
        self.markers.append(marker.mark)


@pytest.mark.parametrize("there", [True, False])
def test_marked_tests_are_skipped_for_one_reason_where_there_is_no_gpu(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    marked, other = Item(pytest.mark.gpu.mark), Item(pytest.mark.slow.mark)
    pytest_collection_modifyitems([marked, other])
    skips = [marker.kwargs["reason"] for marker in marked.markers if marker.name == "skip"]
    assert skips == ([] if there else ["needs a GPU"])
    assert other.get_closest_marker("skip") is None
