"""The step of the paper (224/14, 128 x 4 frames) by count: operations, and bytes that wait for the backward pass.

The step is run on fake tensors, which have sizes and no numbers. What it should come to is counted by hand.
"""

import itertools
from typing import NamedTuple

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lewm.clip import Clip
from lewm.training.model_spec import build_model
from lewm.training.objective import build_objective
from lewm.training.throughput import count_flops
from tests.registries import MODEL_CONFIGS, read_group

BATCH, FRAMES, ACTION_DIM, CHANNELS = 128, 4, 10, 3
DIRECTIONS = 1024


class ViT(NamedTuple):
    """A case: size and patches of the frames."""

    frame_size: int
    patch_size: int

    @property
    def num_patches(self) -> int:
        return (self.frame_size // self.patch_size) ** 2


SIZES = {"224/14": ViT(224, 14), "96/8": ViT(96, 8), "64/8": ViT(64, 8)}
REPORTED_TFLOP = {"224/14": 5.37, "96/8": 2.75, "64/8": 1.16}
"""An earlier count of the same steps."""


def linear(num_rows: int, *widths: int) -> int:
    """Operations of the forward pass of linear maps from each width to the next."""
    return sum(2 * num_rows * first * second for first, second in itertools.pairwise(widths))


def operations(size: ViT, whole_last_block: bool = False) -> int:
    """Of a step, from the architecture: LeWM's numbers, written out.

    Nobody reads the last block's patches: only its keys and values are of all tokens.
    """
    width, embedding, depth, frames = 192, 192, 12, BATCH * FRAMES
    tokens = frames * (size.num_patches + 1)  # with the class token
    patches = linear(frames * size.num_patches, CHANNELS * size.patch_size**2, width)
    block = linear(tokens, width, 3 * width) + linear(tokens, width, width) + linear(tokens, width, 4 * width, width)
    scores = 2 * tokens * (size.num_patches + 1) * width  # of queries with keys, as many as of weights with values
    one, keys_and_values = frames, linear(tokens, width, 2 * width)
    last_block = keys_and_values + linear(one, width, width) * 2 + linear(one, width, 4 * width, width)
    last_scores = 2 * one * (size.num_patches + 1) * width
    if whole_last_block:
        last_block, last_scores = block, scores
    projector = linear(frames, width, 2048, embedding)

    steps, heads = BATCH * (FRAMES - 1), 16 * 64
    action_encoder = linear(steps, ACTION_DIM, 10, 768, embedding)
    predictor_block = (
        linear(steps, width, 3 * heads)
        + linear(steps, heads, width)
        + linear(steps, width, 2048, width)
        + linear(steps, width, 6 * width)
    )
    predictor_scores = 2 * steps * (FRAMES - 1) * heads
    predictor_projector = linear(steps, width, 2048, embedding)
    directions = linear(frames, embedding, DIRECTIONS)

    # Backward, a product has one for its weight and one for its input; frames, actions and directions need none.
    products = (depth - 1) * block + last_block + projector + 6 * predictor_block + predictor_projector + action_encoder
    inputs = linear(steps, ACTION_DIM, 10)
    # Attention makes 2 products forward, and 5 backward: the scores once more.
    attention = 7 * ((depth - 1) * scores + last_scores + 6 * predictor_scores)
    return 2 * patches + 3 * products - inputs + attention + 2 * directions


def kept_bytes(size: ViT) -> int:
    """Of the activations of the encoder's blocks in float32, by far the most of what the backward pass needs."""
    width, tokens = 192, BATCH * FRAMES * (size.num_patches + 1)
    # Input and output of both norms, q, k, v, what attention gives, the hidden layer before and after GELU.
    numbers = width * (2 * 2 + 3 + 1 + 2 * 4)
    last_numbers = width * (2 + 2)  # a norm, keys and values
    return 4 * tokens * (11 * numbers + last_numbers)


def patched(size: ViT):
    """The paper's model with other patches."""
    config = MODEL_CONFIGS["paper"]
    return type(config)(**vars(config) | {"encoder": config.encoder | {"patch_size": size.patch_size}})


class Counted(NamedTuple):
    """What a step comes to: operations, and bytes of the activations that its backward pass needs."""

    flops: int
    kept_bytes: int


@pytest.fixture(scope="module", params=["224/14", *(pytest.param(n, marks=pytest.mark.slow) for n in ("96/8", "64/8"))])
def case(request) -> tuple[str, Counted]:
    """A case, and its step counted on fake tensors."""
    size, kept = SIZES[request.param], {}
    model = build_model(patched(size), size.frame_size, ACTION_DIM)
    objective = build_objective(model, read_group("regularizer")["sigreg_paper"])

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.grad_fn is not None:
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    def step() -> None:
        clip = Clip(
            torch.zeros(BATCH, FRAMES, CHANNELS, size.frame_size, size.frame_size, dtype=torch.uint8),
            torch.zeros(BATCH, FRAMES - 1, ACTION_DIM),
            torch.zeros(BATCH, FRAMES, 2),
        )
        objective(clip, torch.Generator())[0].total.backward()

    objective.regularizer(torch.randn(2, FRAMES, 192), generator=torch.Generator())  # tables that it keeps are no fakes
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with FakeTensorMode(allow_non_fake_inputs=True), hooks:
        flops = count_flops(step)
    return request.param, Counted(flops, sum(kept.values()))


def test_a_step_makes_the_operations_that_its_architecture_says(case):
    name, counted = case
    assert counted.flops == pytest.approx(operations(SIZES[name]), rel=0.001)


@pytest.mark.parametrize("name", SIZES)
def test_the_operations_of_whole_blocks_are_those_of_an_earlier_count(name):
    assert operations(SIZES[name], whole_last_block=True) / 1e12 == pytest.approx(REPORTED_TFLOP[name], rel=0.03)
    assert 0.9 < operations(SIZES[name]) / operations(SIZES[name], whole_last_block=True) < 0.95


def test_a_step_keeps_the_activations_of_the_encoder_and_little_else(case):
    name, counted = case
    assert 1 <= counted.kept_bytes / kept_bytes(SIZES[name]) < 1.08
