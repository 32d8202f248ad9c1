"""Coarser meshes: what they leave of a surface, and that the simulation is of the original ones."""

import numpy as np
import pytest

from envs import mujoco_env
from envs.cube import Cube
from envs.mujoco_gl import why_unavailable
from envs.mujoco_meshes import coarse, merge_vertices

MISSING = why_unavailable() or ""
NEEDS_MUJOCO = pytest.mark.skipif(bool(MISSING), reason=MISSING)
SIZE = 0.1


def sphere(num_rings=40):
    """(V, 3) vertices and (F, 3) faces of a unit sphere, seen from outside."""
    across, along = np.meshgrid(np.arange(num_rings), np.arange(2 * num_rings), indexing="ij")
    polar, azimuth = np.pi * across / (num_rings - 1), np.pi * along / num_rings
    vertices = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1
    ).reshape(-1, 3)
    number = across * 2 * num_rings + along
    right = across * 2 * num_rings + (along + 1) % (2 * num_rings)
    corners = number[:-1], number[1:], right[1:], right[:-1]
    a, b, c, d = (corner.ravel() for corner in corners)
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return vertices.astype(np.float32), faces.astype(np.int32)


def test_a_coarser_sphere_has_fewer_faces_and_is_still_that_sphere():
    vertices, faces = sphere()
    merged, kept = merge_vertices(vertices, faces, SIZE)
    assert len(kept) < len(faces) / 2
    assert (np.linalg.norm(merged - vertices, axis=1) < SIZE * np.sqrt(3)).all()
    corners = merged[faces[kept]]
    outwards = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(outwards, axis=1) / 2
    assert areas.sum() == pytest.approx(4 * np.pi, rel=0.05)
    assert np.sum(outwards * corners.mean(axis=1), axis=1).min() > 0


def test_no_face_is_left_twice_and_none_without_an_area():
    vertices, faces = sphere()
    merged, kept = merge_vertices(vertices, np.concatenate([faces, faces[::-1]]), SIZE)
    _, once = merge_vertices(vertices, faces, SIZE)
    np.testing.assert_array_equal(kept, once)
    places = merged[faces[kept]]
    assert len({tuple(sorted(map(tuple, face))) for face in places}) == len(kept)
    assert all(len({tuple(corner) for corner in face}) == 3 for face in places)


def test_a_face_turned_the_other_way_is_another_one():
    vertices = np.eye(3, dtype=np.float32)
    faces = np.array([[0, 1, 2], [1, 2, 0], [2, 1, 0]], np.int32)
    np.testing.assert_array_equal(merge_vertices(vertices, faces, SIZE)[1], [0, 2])


@NEEDS_MUJOCO
def test_a_model_is_coarse_within_the_context_only():
    model = Cube(frame_size=48).simulator.model
    names = [name for name in dir(model) if isinstance(getattr(model, name), np.ndarray)]
    before = {name: getattr(model, name).copy() for name in names}
    with coarse(model, 0.02):
        assert 0 < model.mesh_facenum.sum() < before["mesh_facenum"].sum() / 10
        assert model.geom("floor").size[2] > before["geom_size"][model.geom("floor").id, 2]
    for name in names:
        np.testing.assert_array_equal(getattr(model, name), before[name], err_msg=name)


def place_of_the_cube(frame):
    """(2,) row and column, in pixels; nothing else is redder than it is blue."""
    redness = np.clip(frame[..., 0] - frame[..., 2] - 10, 0, None)
    return np.array([np.average(place, weights=redness) for place in np.indices(redness.shape)])


@NEEDS_MUJOCO
def test_a_frame_does_not_depend_on_what_was_drawn_first():
    frames = []
    for options in ({}, {"variation": "all"}):
        mujoco_env._renderer.cache_clear()
        first, env = Cube(frame_size=56, quality="coarse"), Cube(frame_size=56, quality="coarse")
        first.reset(seed=1, options=options)
        first.render()
        env.reset(seed=2)
        frames.append(env.render())
    np.testing.assert_array_equal(*frames)


@NEEDS_MUJOCO
def test_a_coarse_frame_differs_from_a_finer_one_by_less_than_a_motion_of_one_pixel():
    coarser, finer = Cube(quality="coarse"), Cube(quality="fast")
    coarser.reset(seed=0)
    finer.reset(seed=0)
    pixel = 0.7 / 64  # metres
    differences = []
    for _ in range(3):
        state = coarser.sample_state()
        moved = coarser.moved(state, "shoulder_pan", 2 * pixel)  # half a metre from the shoulder
        frames = []
        for env, place in ((coarser, state), (finer, state), (finer, moved)):
            env.set_state(place)
            frames.append(env.render().astype(int))
        differences.append([np.abs(frame - frames[1]).mean() for frame in (frames[0], frames[2])])
        np.testing.assert_allclose(place_of_the_cube(frames[0]), place_of_the_cube(frames[1]), atol=0.2)
    by_mesh, by_motion = np.mean(differences, axis=0)
    assert 0 < by_mesh < by_motion
