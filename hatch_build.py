"""Build hook of the wheel: what lies at the repository's top level goes into the package; lewm/shipped.py finds it."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShippedFiles(BuildHookInterface):
    """Adds configurations, manifests, train.py and scripts, without benchmarks and demos, below lewm/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # a link to the repository, where they are
            return
        root = Path(self.root)
        paths = [root / "configs", root / "manifests", root / "train.py", root / "scripts" / "one_process.yaml"]
        for path in [*paths, *sorted(root.glob("scripts/*.py"))]:
            if path.exists():
                build_data["force_include"][str(path)] = f"lewm/{path.relative_to(root)}"
