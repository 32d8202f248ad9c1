"""Coarser meshes for small frames: a robot's has far more triangles than the frame has pixels, and each costs time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR_SQUARE = 20
"""Edges of such a cube in the edge of the squares that floors are lit in: light changes slowly on them."""

_MESH_ARRAYS = ("mesh_facenum", "mesh_face", "mesh_facenormal", "mesh_facetexcoord", "mesh_vert")


@contextmanager
def coarse(model: Any, size: float) -> Iterator[None]:
    """Has a model's surfaces coarse for as long as the context lasts, then as they were.

    OpenGL contexts that are made meanwhile keep the coarse surfaces. The simulation is that of the original ones.

    Args:
      model: MuJoCo's MjModel.
      size: edge of a cube, metres; vertices of a mesh that lie in the same one become one, their mean. The squares
        that MuJoCo divides floors into are at least FLOOR_SQUARE times as large.
    """
    originals = {name: getattr(model, name).copy() for name in (*_MESH_ARRAYS, "geom_size")}
    planes = model.geom_type[:] == 0
    try:
        for mesh in range(model.nmesh):
            _coarsen(model, mesh, size)
        model.geom_size[planes, 2] = np.maximum(model.geom_size[planes, 2], FLOOR_SQUARE * size / 2)  # half an edge
        yield
    finally:
        for name, original in originals.items():
            getattr(model, name)[:] = original


def merge_vertices(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], size: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Merges the vertices of a mesh that lie in the same cube of a grid.

    Args:
      vertices: (V, 3) metres.
      faces: (F, 3) the corners of each triangle, indices of vertices.
      size: edge of a cube, metres.

    Returns:
      (V, 3) the vertices, each moved to the mean of those in its cube, and the indices of the faces that are left, in
      order: those whose corners are in three cubes, and of several with the same corners the first.
    """
    cubes, cube_of = np.unique(np.floor(vertices / size).astype(np.int64), axis=0, return_inverse=True)
    cube_of = cube_of.reshape(-1)
    counts = np.bincount(cube_of)[:, None]
    sums = np.stack([np.bincount(cube_of, axis, len(cubes)) for axis in vertices.T], axis=1)
    corners = cube_of[faces]
    whole = np.flatnonzero((corners != np.roll(corners, 1, axis=1)).all(axis=1))
    corners = corners[whole]
    # The corner of the lowest index goes first, which keeps the side that a triangle is seen from.
    turns = (corners.argmin(axis=1)[:, None] + np.arange(3)) % 3
    _, first = np.unique(np.take_along_axis(corners, turns, axis=1), axis=0, return_index=True)
    return (sums / counts).astype(np.float32)[cube_of], whole[np.sort(first)]


def _coarsen(model: Any, mesh: int, size: float) -> None:
    """Replaces one mesh in the model's arrays."""
    vertices = slice(model.mesh_vertadr[mesh], model.mesh_vertadr[mesh] + model.mesh_vertnum[mesh])
    begin = model.mesh_faceadr[mesh]
    faces = slice(begin, begin + model.mesh_facenum[mesh])
    model.mesh_vert[vertices], kept = merge_vertices(model.mesh_vert[vertices], model.mesh_face[faces], size)
    for name in ("mesh_face", "mesh_facenormal", "mesh_facetexcoord"):
        array = getattr(model, name)
        array[begin : begin + len(kept)] = array[faces][kept]
    model.mesh_facenum[mesh] = len(kept)
