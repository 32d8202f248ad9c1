"""docs/metrics.md explains every number that a run logs, and none that it does not."""

import json
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, RUN

TEXT = (ROOT / "docs" / "metrics.md").read_text()
EXPLAINED = set(re.findall(r"^\| `([\w/<>]+)` \|", TEXT, re.MULTILINE))
PLACEHOLDER = "probe/r2_<state>"
OPTIONAL = {"loss/actor", "loss/contrast"}  # see tests/test_actor_runs.py


def explained_as(tag: str) -> str:
    return PLACEHOLDER if tag.startswith("probe/r2_") else tag


@pytest.fixture
def run(home: Path) -> Path:
    return home / "runs" / RUN


def logged_tags(run: Path) -> set[str]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {explained_as(tag) for line in lines for tag in line} - {"step"}


def test_every_logged_tag_is_explained(run: Path) -> None:
    assert len(logged_tags(run)) > 25
    assert logged_tags(run) - EXPLAINED == set()


def test_every_explained_tag_is_logged(run: Path) -> None:
    assert {tag for tag in EXPLAINED if "/" in tag} - logged_tags(run) == OPTIONAL


def test_every_key_of_the_results_is_explained(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    found = {*results, *results["model"], *results["planning"], *results["baselines"]["random"]}
    assert {"strict_success", "final_distance"} <= found
    assert found - EXPLAINED == set()
    assert {explained_as(tag) for tag in results["diagnostics"]} - EXPLAINED == set()
