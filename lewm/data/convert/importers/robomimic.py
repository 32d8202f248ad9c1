"""HDF5 files of robomimic and LIBERO: data/demo_<i>/actions, and its observations in data/demo_<i>/obs.

A row is an observation and the action taken there. With next_obs, the last action leads to the last row of that;
without it, the last action leads nowhere and is dropped. Frames stay as they are stored: robomimic's are upright,
LIBERO's upside down, as robosuite draws them.
"""

import json
from typing import Any

from lewm.data.convert.importers.episode_groups import EpisodeGroupSource
from lewm.errors import InputError


class RobomimicSource(EpisodeGroupSource):
    """The arguments are those of EpisodeGroupSource."""

    format = "robomimic"
    observations = "obs"
    next_observations = "next_obs"

    def _episode_names(self, file: Any) -> list[str]:
        if "data" not in file or hasattr(file["data"], "shape"):
            raise InputError(f"{self.path} has no group 'data'; it has {', '.join(sorted(file)) or 'nothing'}")
        return [f"data/{name}" for name in file["data"]]

    def _details(self, file: Any) -> dict[str, Any]:
        try:
            env = json.loads(file["data"].attrs["env_args"])
            return {"environment": str(env["env_name"])}
        except (KeyError, TypeError, ValueError):
            return {}

    def _remarks(self, file: Any) -> list[str]:
        if file["data"].attrs.get("macros_image_convention") != "opengl":
            return []
        return ["the frames are stored upside down, as robosuite draws them, and stay so: give the agent the same ones"]
