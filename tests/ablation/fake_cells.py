"""Cells of an ablation that nobody trained."""

import json
from dataclasses import dataclass

from lewm.ablation.cells import Cell
from lewm.config import save
from lewm.success_rates import wilson


@dataclass(frozen=True)
class FinishedCell(Cell):
    """A finished cell whose results are given instead of read."""

    results: dict | None = None
    state: str = "done"


def make_results(reached, diagnostics, first_pair=0):
    """What an ablation reads of results.json: `reached` tells the pairs from number first_pair on.

    One more pair was solved at the start.
    """
    reached = [bool(each) for each in reached]
    rate = wilson(sum(reached), len(reached))._asdict()
    pairs = [
        {"episode": first_pair + i, "step": 0, "solved_at_start": False, "reached": each}
        for i, each in enumerate(reached)
    ]
    pairs.append({"episode": -1, "step": 0, "solved_at_start": True, "reached": True})
    return {
        "identity": {"device": "cpu", "step": 3000},
        "source": {"episodes": "made up"},
        "protocol": {"split": "validation", "dataset_hash": "abc", "offset": 25, "budget": 50, "start": "recorded"},
        "model": dict.fromkeys(("success", "strict_success", "strict_success_at_end"), rate),
        "diagnostics": diagnostics,
        "baselines": {},
        "already_solved": 1 / (len(reached) + 1),
        "planning": {"milliseconds_per_plan_median": 30.0},
        "pairs": pairs,
    }


def write_cell(cell, reached, diagnostics=None, first_pair=0, frames_per_second=100.0):
    """Leaves what train.py leaves, as far as an ablation reads it.

    Args:
      cell: whose folder is written.
      reached: whether each pair was.
      diagnostics: numbers by their tag.
      first_pair: number of the first pair; other numbers are other pairs.
      frames_per_second: the speed that metrics.jsonl tells.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    save(cell.config, cell.folder / "config.yaml")
    diagnostics = diagnostics or {}
    process = {"commit": "0123abc", "versions": {"torch": "2.15.0"}}
    (cell.folder / "process.json").write_text(json.dumps(process))
    lines = [{"step": 9, "loss/prediction": 0.5, "speed/frames_per_second": frames_per_second}]
    lines.append({"step": 9, **diagnostics})
    (cell.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (cell.folder / "results.json").write_text(json.dumps(make_results(reached, diagnostics, first_pair)))
