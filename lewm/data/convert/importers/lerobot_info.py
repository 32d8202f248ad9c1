"""meta/info.json of a LeRobot dataset: its version, rate, features and the names of its files."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lewm.config import is_a
from lewm.data.convert.importers.source import choose, numbered
from lewm.errors import InputError, one_line

INDEX_FEATURES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""What every dataset has beside its own features."""
CAMERA_DTYPES = ("video", "image")


@dataclass(frozen=True)
class Info:
    """Content of meta/info.json.

    Attributes:
      root: folder of the dataset.
      version: major version of the layout, 2 or 3.
      fps: rows a second.
      features: description of each feature, by its name.
      values: everything that the file says.
    """

    root: Path
    version: int
    fps: float
    features: dict[str, dict[str, Any]]
    values: dict[str, Any]

    def camera(self, asked: str | None) -> str:
        """The camera that was asked for, or the only one. InputError: none or several are there, or it is depth."""
        cameras = [name for name, feature in self.features.items() if feature["dtype"] in CAMERA_DTYPES]
        colour = [name for name in cameras if not _is_depth(self.features[name])]
        if cameras and (asked in set(cameras) - set(colour) or not colour):
            others = f"give another --camera, one of {', '.join(colour)}" if colour else "and there is no other camera"
            raise InputError(
                f"camera {asked or cameras[0]!r} of {self.root} is a depth map, not 8 bits of color: {others}"
            )
        if not cameras:
            raise InputError(f"{self.root} has no camera; it has {', '.join(self.own_features())}")
        return choose(asked, colour, "camera", "--camera")

    def numeric(self, name: str, option: str) -> str:
        """The name of a feature of numbers. InputError: there is none of this name."""
        own = self.own_features()
        if name not in self.features:
            raise InputError(f"{self.root} has no feature {name!r}; it has {', '.join(own)}: give {option}")
        if (dtype := self.features[name]["dtype"]) in (*CAMERA_DTYPES, "string"):
            raise InputError(f"feature {name!r} of {self.root} is {dtype}: give {option} a feature of numbers")
        return name

    def own_features(self) -> list[str]:
        """Names of the features but for those that count rows."""
        return [name for name in self.features if name not in INDEX_FEATURES]

    def shape(self, name: str) -> list[int] | None:
        """Shape of a feature; None where there is none."""
        shape = self.features[name].get("shape")
        return shape if isinstance(shape, list) and all(is_a(size, int) for size in shape) else None

    def width(self, name: str) -> int | None:
        """How many numbers a feature has by its shape; None where there is none."""
        shape = self.shape(name)
        return None if shape is None else math.prod(shape)

    def names(self, name: str, prefix: str, width: int) -> list[str]:
        """The names that a feature gives its numbers, or numbered ones where they are not as many or not different."""
        names = list(_words(self.features[name].get("names")))
        return names if len(names) == width == len(set(names)) else numbered(prefix, width)

    def file(self, template: str, **values: int | str) -> Path:
        """Path of a file by one of the templates, data_path or video_path."""
        try:
            return self.root / self._template(template).format(**values)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise InputError(f"{template} in {self.root}/meta/info.json cannot be filled in ({error!r})") from None

    def files(self, template: str) -> list[Path]:
        """The files that there are of a template."""
        return sorted(self.root.glob(re.sub(r"\{[^{}]*\}", "*", self._template(template))))

    def _template(self, template: str) -> str:
        text = self.values.get(template)
        if not is_a(text, str) or not text or Path(text).is_absolute():
            raise InputError(f"{template} in {self.root}/meta/info.json is {text!r}: a path in the dataset is expected")
        return str(text)

    def count(self, key: str) -> int | None:
        """A whole number of the file; None where there is none."""
        value = self.values.get(key)
        return value if is_a(value, int) else None


def read_info(root: Path) -> Info:
    """Reads meta/info.json. InputError: it is missing, damaged, or of another version."""
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise InputError(f"{root} is not a LeRobot dataset: it has no meta/info.json")
    try:
        info = json.loads(path.read_text(encoding="utf-8-sig"))
        version, fps, features = str(info["codebase_version"]), float(info["fps"]), dict(info["features"])
        if not 0 < fps < math.inf:
            raise ValueError(f"fps is {fps}")
        for name, feature in features.items():
            if not isinstance(feature, dict) or not isinstance(feature.get("dtype"), str):
                raise ValueError(f"feature {name!r} has no dtype")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged or incomplete ({type(error).__name__}: {one_line(error)})") from None
    if not (known := re.match(r"v?(2\.[01]|3)(\.|$)", version)):
        raise InputError(
            f"{root} is of LeRobot version {version}, and v2.0, v2.1 and v3 are read: convert it with lerobot"
        )
    return Info(root, int(known[1][0]), fps, features, info)


def _is_depth(feature: dict[str, Any]) -> bool:
    """Whether a camera's frames are depth, or of more bits than 8."""
    details: dict[str, Any] = {}
    for key in ("video_info", "info"):
        details |= feature[key] if isinstance(feature.get(key), dict) else {}
    flagged = any(details.get(key) for key in ("is_depth_map", "video.is_depth_map"))
    return flagged or bool(re.match(r"gray(f|\d\d)", str(details.get("video.pix_fmt"))))


def _words(names: Any) -> Iterator[str]:
    """The names in a list, in lists of lists, or in the values of a dict."""
    if isinstance(names, dict | list):
        for part in names.values() if isinstance(names, dict) else names:
            yield from _words(part)
    elif names is not None:
        yield str(names)
