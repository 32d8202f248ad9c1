"""docs/configuration.md explains every key and names every choice."""

import re
from dataclasses import asdict

from lewm.config import CONFIGS, TrainConfig, flat
from tests.docs.pages import ROOT
from tests.programs import compose

TEXT = (ROOT / "docs" / "configuration.md").read_text()
EXPLAINED = set(re.findall(r"^\| `([\w.]+)` \|", TEXT.split("\n## The run folder")[0], re.MULTILINE))
COMPONENTS = ("planner", "regularizer", "env.collection.expert", "env.kwargs", "model.encoder", "model.projector")
COMPONENTS += ("model.action_encoder", "model.predictor", "model.flow")


def keys() -> set[str]:
    """The dotted keys of train.py's default configuration, but for those inside components."""
    values = asdict(compose())
    groups = {key for key in flat(values) if any(other.startswith(f"{key}.") for other in flat(values))}
    inside = {key for key in flat(values) if key.startswith(tuple(f"{component}." for component in COMPONENTS))}
    return (set(flat(values)) - groups - inside - {"planner", "regularizer"}) | {"model.encoder"}


def test_every_key_of_the_training_configuration_is_explained() -> None:
    assert "training.num_steps" in keys()
    assert keys() - EXPLAINED == set()


def test_every_explained_key_is_one() -> None:
    named = {key for key in EXPLAINED if "." in key} - keys() - set(COMPONENTS)
    assert named == set()
    assert TrainConfig.__dataclass_fields__.keys() >= {"seed", "resume"}


def test_every_choice_of_every_group_is_named() -> None:
    table = next(part for part in TEXT.split("\n## ") if part.startswith("Groups"))
    choices = [path.stem for path in CONFIGS.glob("*/*.yaml")]
    assert len(choices) > 30
    assert [choice for choice in choices if f"`{choice}`" not in table] == []
