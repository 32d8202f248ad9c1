"""CachedRollout computes what JEPA.rollout does, whatever the context, window, horizon and chunks."""

import pytest
import torch

from lewm.models.rollout.cached import CachedRollout
from lewm.training.model_spec import build_model
from tests.registries import MODEL_CONFIGS

EPISODES, CANDIDATES, ACTION_DIM, CONTEXT = 2, 5, 4, 3
PROJECTORS = {
    "mlp": {"name": "mlp", "hidden_dim": 24},
    "euclidean_attention": {"name": "euclidean_attention"},
    "auto_compressing": {"name": "auto_compressing", "hidden_dim": 24, "num_layers": 2},
}


def make_model(projector="mlp", width=32, seed=0):
    """A small model in eval mode, none of whose weights is at its start of 0 or 1."""
    torch.manual_seed(seed)
    config = MODEL_CONFIGS["micro"]
    predictor = config.predictor | {"width": width, "depth": 2, "num_heads": 2, "head_dim": 8, "mlp_dim": 48}
    encoder = config.encoder | {"width": 24, "depth": 1}
    arguments = {"embedding_dim": 32, "context": CONTEXT, "projector": PROJECTORS[projector]}
    model = build_model(type(config)(**vars(config) | arguments | {"predictor": predictor, "encoder": encoder}), 16, 4)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not name.startswith("encoder"):
            noise = torch.rand_like(tensor) - 0.5
            tensor.data.add_(noise.abs() if name.endswith("running_var") else 0.3 * noise)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return make_model()


def situation(num_frames, horizon):
    generator = torch.Generator().manual_seed(10 * num_frames + horizon)
    return (
        torch.randn(EPISODES, num_frames, 32, generator=generator),
        torch.randn(EPISODES, num_frames - 1, ACTION_DIM, generator=generator),
        torch.randn(EPISODES, CANDIDATES, horizon, ACTION_DIM, generator=generator),
    )


def plain(model, window, z, past, candidates):
    past, z = (tensor[:, None].expand(-1, candidates.shape[1], -1, -1) for tensor in (past, z))
    actions = torch.cat([past, candidates], dim=2).flatten(0, 1)
    return model.rollout(z.flatten(0, 1), actions, window).unflatten(0, candidates.shape[:2])


def assert_equal_rollouts(model, window, num_frames, horizon, batch_size=None):
    z, past, candidates = situation(num_frames, horizon)
    with torch.no_grad():
        cached = CachedRollout(model, window, batch_size)(z, past)(candidates)
        expected = plain(model, window, z, past, candidates)
    assert expected.std() > 0.1
    torch.testing.assert_close(cached, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [1, 2, CONTEXT])
@pytest.mark.parametrize("num_frames", [1, 2, CONTEXT, CONTEXT + 2])
@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 7])
def test_it_is_the_plain_rollout(model, window, num_frames, horizon):
    assert_equal_rollouts(model, window, num_frames, horizon)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 7, 10])
@pytest.mark.parametrize("num_frames", [1, CONTEXT])
def test_chunks_change_nothing(model, num_frames, batch_size):
    assert_equal_rollouts(model, CONTEXT, num_frames, horizon=4, batch_size=batch_size)


@pytest.mark.parametrize("projector", PROJECTORS)
@pytest.mark.parametrize("width", [32, 48])
def test_it_is_the_plain_rollout_of_every_projector_and_width(projector, width):
    assert_equal_rollouts(make_model(projector, width), CONTEXT, num_frames=2, horizon=3)


@pytest.mark.parametrize("window", [1, CONTEXT])
def test_its_gradient_is_that_of_the_plain_rollout(model, window):
    z, past, candidates = situation(2, 4)
    gradients = []
    for rollout in (lambda actions: CachedRollout(model, window)(z, past)(actions), None):
        actions = candidates.clone().requires_grad_()
        z_next = rollout(actions) if rollout else plain(model, window, z, past, actions)
        gradients.append(torch.autograd.grad(z_next.sin().sum(), actions)[0])
    assert gradients[1].abs().amin() > 0
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_the_same_but_for_its_rounding(model):
    z, past, candidates = situation(2, 4)
    with torch.no_grad():
        exact, rounded = (
            CachedRollout(model, CONTEXT, precision=p)(z, past)(candidates) for p in ("float32", "bfloat16")
        )
    error = (rounded - exact).square().mean().sqrt() / exact.std()
    assert rounded.dtype == torch.float32
    assert 0 < error < 0.02


def test_it_uses_the_weights_of_the_moment():
    model, (z, past, candidates) = make_model(), situation(1, 3)
    rollout = CachedRollout(model, CONTEXT)
    with torch.no_grad():
        before = rollout(z, past)(candidates)
        model.load_state_dict(make_model(seed=1).state_dict())
        after = rollout(z, past)(candidates)
        torch.testing.assert_close(after, plain(model, CONTEXT, z, past, candidates), rtol=1e-5, atol=1e-5)
    assert (after - before).abs().max() > 0.1


class Counting(torch.nn.Module):
    """Counts the calls of a module and the rows that it is given."""

    def __init__(self, module):
        super().__init__()
        self.module, self.num_rows, self.num_calls = module, 0, 0

    def forward(self, x):
        self.num_rows += x.shape[:-1].numel()
        self.num_calls += 1
        return self.module(x)


def test_every_action_is_embedded_once_whatever_the_windows():
    model, (z, past, candidates) = make_model(), situation(CONTEXT, 5)
    rollout = CachedRollout(model, CONTEXT)
    futures = rollout(z, past)
    counting = Counting(rollout.current_weights().action_encoder)
    rollout._weights = (rollout._weights[0], rollout._weights[1]._replace(action_encoder=counting))
    futures = rollout(z, past)
    assert counting.num_rows == past.shape[:2].numel()
    futures(candidates)
    assert counting.num_rows == past.shape[:2].numel() + candidates.shape[:3].numel()


def num_pieces(rollout, candidates, *context):
    """How many times the actions of candidates are embedded, and what they lead to."""
    with torch.no_grad():
        futures = rollout(*context)
        counting = Counting(rollout.current_weights().action_encoder)
        rollout._weights = (rollout._weights[0], rollout._weights[1]._replace(action_encoder=counting))
        futures = rollout(*context)
        before = counting.num_calls
        return futures(candidates), counting.num_calls - before


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1), (0.5, 2), (0.1, 10), (1e-9, 10)])
def test_sequences_that_take_more_memory_than_there_is_are_imagined_in_pieces_with_the_same_results(
    model, share, expected
):
    z, past, candidates = situation(2, 4)
    whole = CachedRollout(model, CONTEXT)
    needed = EPISODES * CANDIDATES * whole.current_weights().num_bytes(horizon=4, window=CONTEXT)
    rollout = CachedRollout(model, CONTEXT, memory=max(int(share * needed), 1))
    z_next, pieces = num_pieces(rollout, candidates, z, past)
    assert pieces == expected
    with torch.no_grad():
        torch.testing.assert_close(z_next, whole(z, past)(candidates))


def test_the_memory_of_a_sequence_holds_its_modulations_keys_and_values():
    weights = CachedRollout(make_model(), CONTEXT).current_weights()
    modulation, key_value = 6 * 32 * 4, 2 * 2 * 8 * 4  # bytes of one step in one of the two blocks
    assert weights.num_bytes(9, CONTEXT) - weights.num_bytes(8, CONTEXT) >= 2 * modulation
    assert weights.num_bytes(8, CONTEXT) - weights.num_bytes(8, CONTEXT - 1) >= 2 * key_value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"window": 0}, "window=0"),
        ({"window": CONTEXT + 1}, f"window={CONTEXT + 1}"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"memory": 0}, "memory=0"),
        ({"precision": "float8"}, "float8"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_with_the_value(model, arguments, words):
    with pytest.raises(ValueError, match=words):
        CachedRollout(model, **{"window": 1} | arguments)


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(AssertionError, match="BatchNorm"):
        CachedRollout(make_model().train(), 1)(*situation(1, 1)[:2])
