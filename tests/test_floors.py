"""A module imports only from floors below; modules of one floor know their own package only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [
    {"envs"},
    {
        *("lewm", "lewm.arrays", "lewm.clip", "lewm.config", "lewm.distributed", "lewm.environment", "lewm.errors"),
        *("lewm.files", "lewm.precision", "lewm.processes", "lewm.provenance", "lewm.results", "lewm.seeding"),
        *("lewm.shipped", "lewm.significance", "lewm.success_rates", "lewm.terminal", "lewm.trackers"),
        *("lewm.tracking", "lewm.uploading"),
    },
    {"lewm.models", "lewm.regularizers", "lewm.planning", "lewm.data"},
    {"lewm.diagnostics"},
    {"lewm.training"},
    {"lewm.heads"},
    {"lewm.raw_units"},
    {"lewm.session"},
    {"lewm.agent"},
    {"lewm.hub"},
    {"lewm.run"},
    {"lewm.deployment", "lewm.evaluation"},
    {"lewm.report"},
    {"lewm.ablation"},
    {"train", "scripts", "hydra_plugins", "lewm.cli", "lewm.doctor", "lewm.trial"},
]
"""From the ground up. The rooms of one floor, from the third on, know nothing of one another."""

INDEPENDENT = set().union(*FLOORS[2:-1])
MODULES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("envs/**/*.py", "lewm/**/*.py", "scripts/**/*.py", "hydra_plugins/*.py", "*.py")
    for path in ROOT.glob(pattern)
)


def unit_of(module):
    """The part of the project that a dotted name belongs to: "lewm.data.clips" to "lewm.data"."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "lewm" else parts[0]


def floor_of(unit):
    floors = [floor for floor, units in enumerate(FLOORS) if unit in units]
    assert floors, f"{unit} stands on no floor: give it one in docs and in FLOORS"
    return floors[0]


def module_of(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported_modules(path, source):
    """Every dotted name that a file imports, inside functions too; `from lewm import data` is lewm.data."""
    package = module_of(path) if path.endswith("__init__.py") else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "lewm" else (module,)


def imported_units(path, source):
    names = {
        name
        for name in imported_modules(path, source)
        if name.split(".")[0] in ("envs", "lewm", "train", "scripts", "hydra_plugins")
    }
    return {unit_of(name) for name in names} - {unit_of(module_of(path))}


def broken_rules(path, source):
    own = unit_of(module_of(path))
    broken = []
    for unit in imported_units(path, source):
        if floor_of(unit) > floor_of(own):
            broken.append(f"{path} imports {unit} from a floor above")
        if own in INDEPENDENT and floor_of(unit) == floor_of(own):
            broken.append(f"{path} imports {unit}, which it has to know nothing of")
        if own.startswith("lewm") and unit == "envs":
            broken.append(f"{path} imports envs, which lewm reaches by gym.make only")
    return broken


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_from_floors_below_only(path):
    assert broken_rules(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", [path for path in MODULES if path.startswith("envs")])
def test_envs_import_nothing_of_lewm(path):
    assert imported_units(path, (ROOT / path).read_text()) == set()


def test_every_floor_is_looked_at():
    assert {unit_of(module_of(path)) for path in MODULES} >= set().union(*FLOORS)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("lewm/data/clips.py", "import lewm.training.trainer"),
        ("lewm/data/clips.py", "from lewm import models"),
        ("lewm/data/clips.py", "from ..planning import cem"),
        ("lewm/data/clips.py", "def f():\n    from lewm.regularizers.sigreg.sigreg import SIGReg"),
        ("lewm/diagnostics/probing.py", "from lewm.training.trainer import Trainer"),
        ("lewm/evaluation/play.py", "from envs.two_room import TwoRoom"),
        ("lewm/tracking.py", "import envs"),
        ("lewm/clip.py", "from lewm.data import clips"),
        ("envs/two_room.py", "from lewm.seeding import derive_seed"),
        ("lewm/models/vit.py", "from scripts.collect import main"),
    ],
)
def test_an_import_from_above_or_beside_is_found(path, source):
    assert len(broken_rules(path, source)) >= 1
