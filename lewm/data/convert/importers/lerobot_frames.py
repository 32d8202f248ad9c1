"""Frames of LeRobot episodes, from videos or from the rows."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.image import decode_image
from lewm.data.convert.importers.lerobot_episodes import Place
from lewm.data.convert.importers.lerobot_info import Info
from lewm.data.convert.importers.lerobot_rows import Rows
from lewm.data.convert.importers.parquet import ParquetTable
from lewm.data.convert.importers.video import VideoReader, frame_shape, frame_times
from lewm.data.convert.resizing import BLOCK, Resize
from lewm.errors import InputError


class FrameReader:
    """Args:
    info: of the dataset.
    camera: the feature of the frames.
    resize: makes the frames.
    """

    def __init__(self, info: Info, camera: str, resize: Resize) -> None:
        self._info, self._camera, self._resize = info, camera, resize
        self._video: VideoReader | None = None
        self._times = dict[Path, NDArray[np.float64]]()
        self._table: ParquetTable | None = None

    def shape(self, place: Place, rows: Rows) -> tuple[int, int]:
        """Height and width of the frames of an episode as they were recorded."""
        if place.video is not None:
            return frame_shape(place.video)
        height, width, _ = self._images(place, rows, range(1))[0].shape
        return height, width

    def check(self, place: Place, rows: Rows) -> None:
        """InputError, if the video of an episode lacks frames; MissingFileError, if it is not there."""
        if place.video is not None:
            self._numbers(place.video, place, rows)

    def read(self, place: Place, rows: Rows) -> NDArray[np.uint8]:
        """(L+1, size, size, 3) frames of an episode."""
        if place.video is not None:
            return self._from_video(place.video, place, rows)
        blocks = (range(i, min(i + BLOCK, place.length)) for i in range(0, place.length, BLOCK))
        return np.concatenate([self._resize(self._images(place, rows, block)) for block in blocks])

    def close(self) -> None:
        """Ends the decoder."""
        if self._video is not None:
            self._video.close()
            self._video = None

    def _numbers(self, video: Path, place: Place, rows: Rows) -> NDArray[np.int64]:
        """(L+1,) which frames belong to the rows: those that are shown at their times.

        In a video that has one frame for each row of its only episode, they are the frames in their order.
        """
        if video not in self._times:
            self._times[video] = frame_times(video)
        times, fps = self._times[video], self._info.fps
        if place.is_alone and len(times) == place.length:
            return np.arange(place.length)
        if len(times) == 0:
            raise InputError(f"{video} holds no frame")
        wanted = place.start_s + rows.start_s + np.arange(place.length) / fps
        nearest = np.searchsorted((times[1:] + times[:-1]) / 2, wanted)
        is_shown = np.abs(times[nearest] - wanted) <= 0.5 / fps
        if not is_shown.all():
            row = int(np.argmin(is_shown))
            raise InputError(
                f"the video of episode {place.number} has no frame for row {row} of {place.length}, at"
                f" {wanted[row]:g} s: {video} has {len(times)}, from {times[0]:g} to {times[-1]:g} s"
            )
        return nearest

    def _from_video(self, video: Path, place: Place, rows: Rows) -> NDArray[np.uint8]:
        numbers = self._numbers(video, place, rows)
        numbers, first = numbers - numbers[0], int(numbers[0])
        if self._video is None or self._video.path != video:
            self.close()
            self._video = VideoReader(video, self._resize)
        frames = self._video.read(first, int(numbers[-1]) + 1)
        if len(frames) <= numbers[-1]:
            raise InputError(f"the video of episode {place.number}, {video}, breaks off at frame {first + len(frames)}")
        return frames[numbers]

    def _images(self, place: Place, rows: Rows, which: Iterable[int]) -> NDArray[np.uint8]:
        """(N, h, w, 3) some frames of an episode."""
        which = list(which)
        what = f"of episode {place.number} in {self._info.root}"
        if self._table is None or self._table.file != rows.table.file:
            self._table = None
            self._table = ParquetTable(rows.table.file, [self._camera])
        images = zip(which, self._table.objects(self._camera, rows.ids[which]), strict=True)
        frames = [decode_image(image, self._info.root, f"frame {i} {what}") for i, image in images]
        if len(shapes := sorted({frame.shape for frame in frames})) > 1:
            raise InputError(f"the frames {what} have several sizes: {shapes[0]} and {shapes[1]}")
        return np.stack(frames)
