"""Pictures of a dataset: a contact sheet of some episodes, and a video of them side by side."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lewm.data.episodes import Episodes

FPS = 10
TILE = 128
"""Pixels that a frame has in the video, at least."""


def contact_sheet(data: Episodes, path: Path, num_episodes: int, num_frames: int) -> None:
    """Writes a PNG: a line for each episode, with evenly spaced frames from the first to the last."""
    chosen = data.index.spaced(num_episodes)
    figure = Figure(figsize=(1.1 * num_frames + 1, 1.25 * len(chosen)), dpi=120, layout="constrained")
    axes = figure.subplots(len(chosen), num_frames, squeeze=False)
    for line, episode in zip(axes, chosen, strict=True):
        pixels = data[episode].pixels
        steps = np.linspace(0, len(pixels) - 1, num_frames).round().astype(int)
        for ax, step in zip(line, steps, strict=True):
            ax.imshow(pixels[step], interpolation="nearest")
            ax.set_title(f"t = {step}", fontsize=7, pad=2)
            ax.set_xticks([])
            ax.set_yticks([])
        line[0].set_ylabel(f"episode {episode}", fontsize=7)
    figure.savefig(path)


def film(data: Episodes, path: Path, num_episodes: int) -> None:
    """Writes an mp4 of episodes side by side; one that is over shows its last frame."""
    import imageio.v2 as iio  # here, because who writes no film needs no ffmpeg

    chosen = data.index.spaced(num_episodes)
    num_columns = int(np.ceil(np.sqrt(len(chosen))))
    size = data.pixels.shape[1]
    zoom = -(-TILE // size)
    tile = size * zoom + 4  # a border around each
    num_rows = -(-len(chosen) // num_columns)
    height, width = (count * tile + count * tile % 2 for count in (num_rows, num_columns))  # H.264 wants even numbers
    writer: Any = iio.get_writer(path, fps=FPS, macro_block_size=1)
    with writer as file:
        for step in range(int(data.lengths[chosen].max()) + 1):
            frame = np.full((height, width, 3), 255, np.uint8)
            for place, episode in enumerate(chosen):
                pixels = data[episode].pixels
                shown = pixels[min(step, len(pixels) - 1)]
                top, left = (2 + tile * i for i in divmod(place, num_columns))
                frame[top : top + size * zoom, left : left + size * zoom] = shown.repeat(zoom, 0).repeat(zoom, 1)
            file.append_data(frame)
