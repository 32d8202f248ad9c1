"""A head that is added takes one class, one line in the registry and one YAML: nothing else knows of it."""

import pytest
import torch
from rich.progress import Progress

from lewm.heads import HEADS, Head
from lewm.heads import config as head_config
from lewm.heads.config import FittingConfig, HeadConfig, read_heads
from lewm.heads.files import save_head
from lewm.heads.fitting import fit_head
from lewm.heads.head import Batch
from lewm.regularizers import SIGReg
from lewm.run import Run
from lewm.training.checkpoint import Snapshot, save_checkpoint
from lewm.training.schedule import learning_rate
from tests.training.linear_world import PositionModel, spec_for, write_walks


class WayTravelled(Head):
    """Linear map from the difference of two embeddings to itself, scaled."""

    def __init__(self, embedding_dim, frame_size, scale):
        super().__init__()
        self.frame_size, self.scale = frame_size, scale
        self.linear = torch.nn.Linear(embedding_dim, embedding_dim)

    @classmethod
    def sizes(cls, spec, fitting):
        return {"embedding_dim": spec.model.embedding_dim, "frame_size": spec.frame_size}

    def forward(self, z, z_goal):
        return self.linear(z_goal - z)

    def fit_normalization(self, z):
        assert z.dim() == 2

    def draw(self, data, num, rng):
        pairs = data.pairs.ahead(num, 1, data.fitting.max_steps, rng)
        z, z_goal = data.see(pairs.frames[:, 0]), data.see(pairs.goals)
        return Batch(z, z_goal, self.scale * (z_goal - z))

    def loss(self, z, z_goal, way):
        return (self(z, z_goal) - way).square().mean()

    def errors(self, data, rng):
        return {"mean_squared_error": self.loss(*self.draw(data, 512, rng)).item()}


class Descent(WayTravelled):
    """One weight, whose loss is the weight itself: AdamW lowers it in each step by that step's learning rate."""

    def __init__(self, embedding_dim, frame_size):
        super().__init__(embedding_dim, frame_size, scale=1)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.weights, self.trained = [], []

    def loss(self, z, z_goal, way):
        self.weights.append(self.weight.item())
        self.trained.append(self.training)
        return self.weight + 0 * self(z, z_goal).sum()

    def errors(self, data, rng):
        return {"weight": self.weight.item()}


YAML = """
head: {name: way_travelled, scale: 2.0}
fitting:
  num_steps: 300
  batch_size: 64
  learning_rate: 1.0e-1
  weight_decay: 0.0
  max_steps: 8
  far_share: 0.0
  max_frames: 10000
  precision: auto
"""


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The registry and configs/ with the new head."""
    configs = tmp_path / "configs" / "head"
    configs.mkdir(parents=True)
    (configs / "way_travelled.yaml").write_text(YAML)
    monkeypatch.setitem(HEADS, "way_travelled", WayTravelled)
    monkeypatch.setattr(head_config, "CONFIGS", configs.parent)


@pytest.mark.usefixtures("registered")
def test_a_new_head_is_configured_fitted_judged_saved_and_read(tmp_path):
    data = write_walks(tmp_path / "data", num_episodes=20)
    spec, model = spec_for(data), PositionModel()
    (config,) = read_heads([{"name": "way_travelled", "scale": 3, "max_steps": 4}])
    fitted = fit_head(model, spec, data, config, seed=0, progress=Progress(disable=True))
    assert fitted.errors["mean_squared_error"] < 1e-2
    assert (fitted.head.frame_size, fitted.head.scale) == (4, 3)

    weights = spec.build_model()
    optimizer = torch.optim.SGD(weights.parameters())
    save_checkpoint(tmp_path / "run" / "checkpoints", spec, 1, Snapshot.take(weights, SIGReg(), optimizer))
    save_head(tmp_path / "run", config, fitted, Run.open(tmp_path / "run").checkpoint.weights_hash)
    head = Run.open(tmp_path / "run").heads["way_travelled"]
    z = torch.tensor([[1.0, 2.0]])
    torch.testing.assert_close(head(z, z + 1), torch.tensor([[3.0, 3.0]]), rtol=0, atol=0.1)


def test_each_step_goes_down_the_gradient_of_its_own_batch_by_the_scheduled_rate_in_training_mode(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(HEADS, "descent", Descent)
    data, num_steps, rate = write_walks(tmp_path / "data", num_episodes=8), 40, 0.1
    fitting = FittingConfig(num_steps, 8, rate, 0.0, max_steps=2, far_share=0.0, max_frames=1000, precision="auto")
    config = HeadConfig({"name": "descent"}, fitting)
    head, errors = fit_head(PositionModel(), spec_for(data), data, config, seed=0, progress=Progress(disable=True))
    steps = -torch.tensor([*head.weights, errors["weight"]]).diff()
    expected = torch.tensor([rate * learning_rate(step, num_steps, 0.05) for step in range(num_steps)])
    torch.testing.assert_close(steps, expected, rtol=1e-3, atol=1e-5)
    assert all(head.trained)
