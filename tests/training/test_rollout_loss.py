"""The loss of predictions fed back, against a loop over frames and against a world whose loss can be written down."""

import pytest
import torch
from torch import nn

import train
from lewm.clip import Clip
from lewm.config import read_run_config, save
from lewm.models import JEPA
from lewm.regularizers import NoRegularizer
from lewm.training.compiling import compile_parts
from lewm.training.model_spec import build_model
from lewm.training.objective import Objective
from lewm.training.throughput import count_flops, count_model_flops
from tests.programs import TINY, compose, refusal
from tests.runs import spec_of

BATCH, FRAMES, CONTEXT, ACTION_DIM, SIZE = 4, 6, 3, 10, 48
CLIPS = "training.num_frames=6"


def make_model(*words):
    torch.manual_seed(0)
    model = build_model(compose(*TINY, *words).model, SIZE, ACTION_DIM).eval()
    for block in model.predictor.blocks:
        nn.init.normal_(block.modulation[-1].weight, std=0.3)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def clip():
    generator = torch.Generator().manual_seed(1)
    return Clip(
        torch.randint(256, (BATCH, FRAMES, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8),
        torch.randn(BATCH, FRAMES - 1, ACTION_DIM, generator=generator),
        torch.full((BATCH, FRAMES, 2), torch.nan),
    )


def looped_loss(model, clip, rollout_steps):
    """Frame by frame, each from a window of its own."""
    z = model.encode(clip.pixels)
    num_true = FRAMES - rollout_steps
    seen, errors = list(z[:, :num_true].unbind(1)), []
    for frame in range(1, FRAMES):
        first = max(frame - CONTEXT, 0)
        window = torch.stack(seen[first:frame], 1)
        predicted = model.predict(window, clip.actions[:, first:frame])[:, -1]
        if frame >= num_true:
            seen.append(predicted)
        errors.append(predicted - z[:, frame])
    return torch.stack(errors).square().mean()


def gradients(loss, model):
    found = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
    return torch.cat([each.flatten() for each in found if each is not None])


@pytest.mark.parametrize("rollout_steps", [3, 4, 5])
def test_the_loss_is_that_of_a_loop_over_frames_and_so_is_its_gradient(model, clip, rollout_steps):
    loss = Objective(model, NoRegularizer(), 0.0, rollout_steps)(clip, torch.Generator())[0].prediction
    expected = looped_loss(model, clip, rollout_steps)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(gradients(loss, model), gradients(expected, model), rtol=1e-3, atol=1e-6)


def test_one_step_is_the_loss_of_next_embeddings_bit_for_bit(model, clip):
    short = Clip(clip.pixels[:, :4], clip.actions[:, :3], clip.states[:, :4])
    z = model.encode(short.pixels)
    expected = (model.predict(z[:, :-1], short.actions).float() - z[:, 1:].float()).square().mean()
    assert torch.equal(Objective(model, NoRegularizer(), 0.0)(short, torch.Generator())[0].prediction, expected)


class Adding(nn.Module):
    """z' = z + c."""

    output_dim = 12

    def forward(self, z, c):
        return z + c


class Flattening(nn.Module):
    """A frame of 12 numbers is its embedding, and counts how many there were."""

    num_encoded = 0

    def forward(self, pixels):
        self.num_encoded += len(pixels)
        return pixels.flatten(1).float()


@pytest.mark.parametrize("rollout_steps", [1, 3, 5])
def test_in_a_world_of_sums_a_rollout_adds_up_the_actions_and_frames_are_encoded_once(rollout_steps):
    torch.manual_seed(0)
    linear = nn.Linear(2, 12)
    adding = JEPA(
        encoder=Flattening(),
        projector=nn.Identity(),
        action_encoder=linear,
        predictor=Adding(),
        predictor_projector=nn.Identity(),
        context=5,
        flow=None,
    )
    pixels, actions = torch.randint(256, (BATCH, FRAMES, 3, 2, 2), dtype=torch.uint8), torch.randn(BATCH, FRAMES - 1, 2)
    loss, _ = Objective(adding, NoRegularizer(), 0.0, rollout_steps)(Clip(pixels, actions, pixels), torch.Generator())
    z, moves = pixels.flatten(2).float(), linear(actions)
    last = FRAMES - rollout_steps - 1  # the last frame that is seen
    errors = [z[:, t] + moves[:, t] - z[:, t + 1] for t in range(last)]
    errors += [z[:, last] + moves[:, last:t].sum(1) - z[:, t] for t in range(last + 1, FRAMES)]
    torch.testing.assert_close(loss.prediction, torch.stack(errors).square().mean())
    assert adding.encoder.num_encoded == BATCH * FRAMES


def test_targets_are_attached_and_gradients_flow_through_what_is_imagined(model, clip):
    z = model.encode(clip.pixels).detach().requires_grad_()
    predicted = model.predict_clip(z, clip.actions, 5)
    (slope,) = torch.autograd.grad(predicted[:, -1].sum(), z, retain_graph=True)
    assert slope[:, 0].abs().max() > 0  # through four predictions
    assert (slope[:, 1:] == 0).all()  # frames that are only targets
    (slope,) = torch.autograd.grad((predicted - z[:, 1:]).square().mean(), z)
    assert (slope.abs().amax((0, 2)) > 0).all()


@pytest.mark.parametrize("steps", [1, 3])
def test_the_operations_of_a_step_are_those_that_it_makes(steps):
    config = compose(*TINY, f"training.num_frames={CONTEXT + steps}")
    spec = spec_of(config)
    model, batch, num_frames = spec.build_model(), 2, CONTEXT + steps
    objective = Objective(model, NoRegularizer(), 0.0, steps).to("meta")
    pixels = torch.empty(batch, num_frames, 3, SIZE, SIZE, dtype=torch.uint8, device="meta")
    clip = Clip(pixels, torch.empty(batch, num_frames - 1, ACTION_DIM, device="meta"), pixels)
    made = count_flops(lambda: objective(clip, torch.Generator())[0].total.backward())
    assert count_model_flops(model, spec, batch, num_frames, steps) == made
    assert steps == 1 or made > count_model_flops(model, spec, batch, num_frames - steps + 1)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile looks at it
def test_compiled_blocks_give_the_same_rollout_from_few_graphs(clip):
    model = make_model("model.predictor.depth=2")
    z, compiled, counts = model.encode(clip.pixels).detach(), [], []
    expected = model.predict_clip(z, clip.actions, 5)

    def backend(graph, _):
        compiled.append(graph)
        return graph

    original = nn.Module.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Module, "compile", lambda self: original(self, backend=backend))
        compile_parts(model)
    for _ in range(2):
        torch.testing.assert_close(model.predict_clip(z, clip.actions, 5), expected)
        counts.append(len(compiled))
    assert 1 <= counts[0] == counts[1] <= CONTEXT  # at most one for each length of a window


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((CLIPS,), ("training.num_frames=6", "model.context=3")),
        ((CLIPS, "training.rollout_steps=2"), ("training.num_frames=6", "model.context=3", "training.rollout_steps=2")),
        ((CLIPS, "training.rollout_steps=6"), ("training.rollout_steps=6", "training.num_frames=6")),
        (("predictor=prefix", CLIPS), ("model.context=3", "training.num_frames=4")),
        (("predictor=prefix", "training.rollout_steps=3"), ("training.rollout_steps=1", "not 4 and 3")),
        (("predictor=prefix", "model.context=5"), ("training.num_frames=6", "not 4 and 1")),
    ],
)
def test_clips_that_do_not_fit_are_refused(words, parts):
    message = refusal(train.check_clips, compose(*words))
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        (CLIPS, "training.rollout_steps=3"),
        (CLIPS, "training.rollout_steps=5"),
        (CLIPS, "training.rollout_steps=5", "predictor=affine", "model.context=1"),
        ("predictor=prefix", "model.context=5", CLIPS),
    ],
)
def test_clips_that_fit_are_not(words):
    assert train.check_clips(compose(*words)) is None


def test_a_step_of_zero_is_refused():
    assert "training.rollout_steps=0 must be at least 1" in refusal(compose, "training.rollout_steps=0")


def test_a_run_from_before_the_key_has_the_default(tmp_path):
    config = compose()
    save(config, tmp_path / "config.yaml")
    lines = (tmp_path / "config.yaml").read_text().splitlines()
    (tmp_path / "config.yaml").write_text("\n".join(line for line in lines if "rollout_steps" not in line))
    assert read_run_config(tmp_path / "config.yaml") == config
