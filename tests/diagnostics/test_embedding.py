"""Embeddings of many frames."""

import torch
from torch import nn

from lewm.diagnostics.embedding import embed
from tests.fake_gpu import fake_gpu


class FirstPixels(nn.Module):
    """Takes the first pixel of each channel for the embedding, and counts the frames of its largest batch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.most_frames = 0

    def encode(self, pixels):
        self.most_frames = max(self.most_frames, pixels.shape[0] * pixels.shape[1])
        return pixels[..., 0, 0].double()


def test_embeddings_are_made_in_pieces_and_come_back_whole():
    pixels = torch.randint(0, 256, (11, 3, 3, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    model = FirstPixels()
    z = embed(model, pixels, batch_size=7)
    assert model.most_frames == 6  # two clips of three frames
    assert torch.equal(z, pixels[..., 0, 0].float())


def test_a_clip_of_more_frames_than_a_batch_is_encoded_whole():
    pixels = torch.zeros(2, 5, 3, 2, 2, dtype=torch.uint8)
    assert embed(FirstPixels(), pixels, batch_size=2).shape == (2, 5, 3)


def test_embeddings_of_many_pieces_are_waited_for_once():
    with fake_gpu() as copies:
        with torch.device("cuda"):
            model = FirstPixels()
        z = embed(model, torch.zeros(11, 3, 3, 2, 2, dtype=torch.uint8), batch_size=7)
        assert z.shape == (11, 3, 3) and z.device.type == "cpu"
        assert copies.num_back == 1
