"""Videos whose frames tell where they are from."""

import imageio.v3 as iio
import numpy as np

LENGTHS = (5, 9, 4)


def shade(number, row):
    """The brightness that tells a frame from every other one, with room for what a codec loses."""
    return 10 * (row + sum(LENGTHS[:number])) + 20


def frames_of(number, length, height=32, width=32):
    frames = np.zeros((length, height, width, 3), np.uint8)
    frames[:] = np.array([shade(number, row) for row in range(length)], np.uint8)[:, None, None, None]
    return frames


def write_video(path, frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, frames, fps=10, macro_block_size=1, output_params=["-crf", "1"], plugin="FFMPEG")


def assert_recorded(episodes, lengths=LENGTHS):
    """Frames and states are those of their rows, and the action of the last row is gone."""
    episodes = list(episodes)
    assert [len(episode.pixels) for episode in episodes] == list(lengths)
    for number, episode in enumerate(episodes):
        shown = episode.pixels.reshape(lengths[number], -1).mean(1)
        np.testing.assert_allclose(shown, [shade(number, row) for row in range(lengths[number])], atol=3)
        np.testing.assert_array_equal(episode.states[:, 0], number)
        np.testing.assert_array_equal(episode.states[:, 1], np.arange(lengths[number]))
        np.testing.assert_array_equal(episode.actions[:, 0], 100 * number + np.arange(lengths[number] - 1))
