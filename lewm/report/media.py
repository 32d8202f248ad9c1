"""Videos of episodes, and pictures that a page can hold."""

import base64
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.video import decode
from lewm.errors import InputError

FPS = 10
TILE = 128
"""Pixels that a frame has in a film, at least."""

FILM = re.compile(r"pair_([0-9]+)_(reached|failed)\.mp4")
"""Names of the films of an evaluation: number of the pair, and its outcome."""

GAP = 4
"""Pixels between the frames of a film."""

MAX_BYTES = 8 * 2**20
"""Films and pictures of a page, before base64 makes them a third larger."""


class Film(NamedTuple):
    """An mp4 of a pair of the manifest, with its last frame as a picture."""

    pair: int
    reached: bool
    num_frames: int
    width: int
    height: int
    mp4: bytes
    poster: bytes


def side_by_side(start: NDArray[np.uint8], achieved: NDArray[np.uint8], goal: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Start | achieved | goal: (h, w, C), (n, h, w, C) and (h, w, C) frames -> (n, even height, even width, C)."""
    zoom = -(-TILE // achieved.shape[1])
    gap = np.full((*achieved.shape[:2], -(-GAP // zoom), achieved.shape[3]), 128, np.uint8)
    stills = [np.broadcast_to(still, achieved.shape) for still in (start, goal)]
    film = np.concatenate([stills[0], gap, achieved, gap, stills[1]], axis=2).repeat(zoom, 1).repeat(zoom, 2)
    return film[:, : film.shape[1] // 2 * 2, : film.shape[2] // 2 * 2]  # H.264 wants even numbers


def save_film(film: NDArray[np.uint8], path: Path) -> None:
    """Writes (n, h, w, 3) frames as an mp4 that every browser plays; InputError: it cannot be written."""
    from imageio_ffmpeg import get_ffmpeg_exe  # here, because who writes no film needs no ffmpeg

    size, partial = f"{film.shape[2]}x{film.shape[1]}", path.with_suffix(".partial")
    frames = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(FPS), "-i", "-"]
    form = ["-c:v", "libx264", "-crf", "23", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *frames, *form, f"file:{partial}"]
    done = subprocess.run(command, input=film.tobytes(), capture_output=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(f"cannot write {path}: {lines[0] if lines else 'ffmpeg failed'}")
    partial.rename(path)


def find_films(folder: Path, reached: Sequence[bool]) -> list[Path]:
    """The films of an evaluation with these outcomes, failures first; others, of an earlier one, are left out."""
    found = {}
    for path in sorted(folder.glob("pair_*.mp4")):
        match = FILM.fullmatch(path.name)
        if match and int(match[1]) < len(reached) and reached[int(match[1])] == (match[2] == "reached"):
            found[int(match[1])] = path
    return [found[i] for i in sorted(found, key=lambda i: (reached[i], i))]


def read_film(path: Path) -> Film:
    """A film that save_videos() wrote."""
    frames = list(decode(path))
    height, width, _ = frames[-1].shape
    _, pair, outcome = path.stem.split("_")
    return Film(int(pair), outcome == "reached", len(frames), width, height, path.read_bytes(), as_png(frames[-1]))


def as_png(frame: NDArray[np.uint8]) -> bytes:
    """(h, w, C) -> a PNG."""
    import imageio.v3 as iio  # here, because pages without films need no imageio

    return iio.imwrite("<bytes>", frame, extension=".png")


def reduced(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, h, w, C) frames without the rows and columns that a tile has no pixels for."""
    step = max(frames.shape[1] // TILE, 1)
    return frames[:, ::step, ::step]


def data_uri(content: bytes, kind: str) -> str:
    """A file inside a page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
