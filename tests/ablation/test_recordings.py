"""An ablation on recordings, which have nothing to plan in: measures are compared, success is not."""

import json

import numpy as np
import pytest

from lewm.ablation.cells import make_cells
from lewm.ablation.findings import findings
from lewm.ablation.page import save_report
from lewm.ablation.table import Table
from tests.ablation.fake_cells import write_cell


@pytest.fixture
def cells(tmp_path):
    return make_cells(["regularizer=sigreg,none", "seed=0,1,2", "env=recorded"], tmp_path)


def fill_recordings(cells, ranks):
    """Writes cells whose results are those of a training on recordings."""
    for cell, rank in zip(cells, ranks, strict=True):
        write_cell(cell, [True], {"val/effective_rank": rank})
        path = cell.folder / "results.json"
        results = json.loads(path.read_text())
        path.write_text(json.dumps({key: results[key] for key in ("identity", "diagnostics")}))


def test_cells_on_recordings_have_their_diagnostics_in_the_table_and_no_success(cells):
    fill_recordings(cells, [3.0, 3.1, 2.9, 9.0, 9.1, 8.9])
    table = Table(cells)
    assert [row["val/effective_rank"] for row in table.rows] == [3.0, 3.1, 2.9, 9.0, 9.1, 8.9]
    assert "strict_success" not in table.rows[0]
    assert table.metrics == ["val/effective_rank", "seconds_per_step"]
    assert table.pooled_success("none").trials == 0
    assert table.comparisons[0].num_attempts == 0
    assert table.comparisons[0].differs("val/effective_rank")


def test_what_differs_between_cells_on_recordings_is_said_without_a_word_on_success_rates(cells):
    fill_recordings(cells, [3.0, 3.1, 2.9, 9.0, 9.1, 8.9])
    said = findings(Table(cells))
    assert said[0] == ("none against sigreg: no success to compare. Beyond seed noise differ: effective rank (3 → 9).")
    assert "start/goal pairs" not in said[1] and "There are 2 metrics" in said[1]


def test_one_seed_on_recordings_is_said_to_say_nothing_of_seed_noise(cells):
    fill_recordings([cells[0], cells[3]], [3.0, 9.0])
    said = findings(Table([cells[0], cells[3]]))
    assert said[0] == "none against sigreg: no success to compare."
    assert said[1].startswith("One seed only: sigreg, none.")


def test_the_report_of_recordings_has_their_measures_and_no_section_on_success(cells, tmp_path):
    fill_recordings(cells[:5], [3.0, 3.1, 2.9, 9.0, 9.1])
    save_report(Table(cells), tmp_path, "")
    text = (tmp_path / "index.html").read_text()
    assert "<h2>Success</h2>" not in text and "<h2>All metrics</h2>" in text
    assert "effective rank" in text
    assert (tmp_path / "cells.csv").read_text().count(",done,") == 5


def test_a_column_on_recordings_stands_beside_one_that_was_planned_with(cells, tmp_path):
    for cell, rank in zip(cells[:3], [3.0, 3.1, 2.9], strict=True):
        write_cell(cell, np.arange(10) < 9, {"val/effective_rank": rank})
    fill_recordings(cells[3:], [9.0, 9.1, 8.9])
    save_report(Table(cells), tmp_path, "")
    assert findings(Table(cells))[0].startswith(
        "none against sigreg: no success to compare. Beyond seed noise differ: "
    )
    assert "<h2>Success</h2>" in (tmp_path / "index.html").read_text()
