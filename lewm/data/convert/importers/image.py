"""Encoded images of 8 bits, as tables keep them, as frames."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.source import MissingFileError
from lewm.errors import InputError, one_line


def decode_image(image: Any, root: Path, what: str) -> NDArray[np.uint8]:
    """(h, w, 3) frame of an image; gray becomes three channels, transparency is dropped.

    Args:
      image: encoded bytes, the path of a file, or a dict with bytes or path.
      root: folder that a path starts from.
      what: names the image in an InputError: it is null, missing, damaged, or has more than 8 bits, as depth has.
    """
    import imageio.v3 as iio  # here, because who reads no images needs no imageio

    values = image if isinstance(image, dict) else {"bytes" if isinstance(image, bytes) else "path": image}
    data, path = values.get("bytes"), values.get("path")
    if data is None:
        if not isinstance(path, str):
            raise InputError(f"{what} is null")
        if not (file := root / path).is_file():
            raise MissingFileError(file)
        data = file.read_bytes()
    try:
        mode = iio.immeta(data, plugin="pillow", index=0)["mode"]
        frame: NDArray[np.uint8] = iio.imread(data, plugin="pillow", index=0, mode="RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{what} is not a whole image ({one_line(error)})") from None
    if mode.startswith(("I", "F")):
        raise InputError(f"{what} has more than 8 bits (mode {mode}), as depth has: give another --camera")
    return frame
