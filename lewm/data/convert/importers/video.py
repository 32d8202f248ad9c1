"""Frames of a video, decoded one after another by the ffmpeg that comes with imageio."""

import re
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.source import MissingFileError
from lewm.data.convert.resizing import BLOCK, Resize
from lewm.errors import InputError

Frame = NDArray[np.uint8]


def decode(path: Path) -> Generator[Frame, None, None]:
    """(h, w, 3) frames of the first video stream, as they were recorded: none is dropped or shown twice.

    Close it when it is not read to its end. InputError: there is no such file, or it is no whole video.
    """
    from imageio_ffmpeg import get_ffmpeg_exe  # here, because who reads no video needs no ffmpeg

    if not path.is_file():
        raise MissingFileError(path)
    # PPM images tell their size themselves.
    output = ["-an", "-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
    command = [get_ffmpeg_exe(), "-v", "error", "-xerror", "-i", f"file:{path}", *output]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        try:
            while process.stdout.readline():  # P6
                width, height = map(int, process.stdout.readline().split())
                process.stdout.readline()  # 255
                data = process.stdout.read(width * height * 3)
                if len(data) < width * height * 3:
                    break
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
            if process.wait() != 0:
                errors.seek(0)
                lines = errors.read().decode(errors="replace").strip().splitlines()
                raise InputError(f"{path} is not a whole video: {lines[0] if lines else 'ffmpeg failed'}")
        finally:
            process.kill()  # where the reader wants no more


def frame_shape(path: Path) -> tuple[int, int]:
    """Height and width of the frames. InputError: it is no video."""
    with closing(decode(path)) as frames:
        first = next(frames, None)
    if first is None:
        raise InputError(f"{path} holds no frame")
    return first.shape[0], first.shape[1]


def frame_times(path: Path) -> NDArray[np.float64]:
    """(N,) seconds at which the frames of the first video stream are shown, read from the container without decoding.

    InputError: there is no such file, or it is no video.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    if not path.is_file():
        raise MissingFileError(path)
    command = [
        get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        f"file:{path}",
        "-map",
        "0:v:0",
        "-c",
        "copy",
        "-f",
        "framecrc",
        "-",
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")
    time_base = re.search(r"^#tb 0: (\d+)/(\d+)$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or time_base is None:
        lines = done.stderr.strip().splitlines()
        raise InputError(f"{path} is not a whole video: {lines[0] if lines else 'ffmpeg failed'}")
    # A line for each packet: stream, decoding time, time at which it is shown, …; edit lists cut off what is before 0.
    ticks = np.array([int(time) for time in re.findall(r"^0, *-?\d+, *(-?\d+),", done.stdout, re.MULTILINE)], np.int64)
    return np.sort(ticks[ticks >= 0]) * int(time_base[1]) / int(time_base[2])


class VideoReader:
    """Consecutive parts of a video as resized frames; going back decodes it again from its start."""

    def __init__(self, path: Path, resize: Resize) -> None:
        self.path, self._resize = path, resize
        self._frames = decode(path)
        self._position = 0

    def read(self, start: int, count: int | None) -> NDArray[np.uint8]:
        """(N, size, size, 3) frames start ... start + count - 1, or fewer where the video ends; None: all of them."""
        if start < self._position:
            self.close()
            self._frames, self._position = decode(self.path), 0
        while self._position < start and next(self._frames, None) is not None:
            self._position += 1
        parts, block = [], []
        left = count
        while left is None or left > 0:
            frame = next(self._frames, None)
            if frame is not None:
                block.append(frame)
                self._position += 1
                left = None if left is None else left - 1
            if block and (frame is None or len(block) == BLOCK or left == 0):
                parts.append(self._resize(np.stack(block)))
                block = []
            if frame is None:
                break
        return np.concatenate(parts) if parts else np.zeros((0, 1, 1, 3), np.uint8)

    def close(self) -> None:
        """Ends the decoder."""
        self._frames.close()
