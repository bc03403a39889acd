"""Physics with known answers: overlaps of spheres, what stands, what falls from a height."""

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError, MissingExtraError
from maquette.evaluate.dynamics import penetration_depths, scene_dynamics
from maquette.evaluate.protocols import TETRIS3D
from maquette.evaluate.score import score_scene
from maquette.evaluate.surfaces import sample_mesh
from maquette.simulation.world import world_of

pytest.importorskip("mujoco")
GRAVITY = 9.81
FEW = 500


def box(sides, at=(0.0, 0.0, 0.0)):
    return trimesh.creation.box(sides).apply_translation(at)


def test_samples_of_spheres_are_as_deep_as_their_overlap_says():
    """A point of the unit sphere about the origin at the height c is 1 - |p - d| deep in the other;
    integrated over the cap it is in closed form.
    """
    far = 1.5  # between the middles of two spheres of radius 1
    spheres = [trimesh.creation.icosphere(4, 1.0) for _ in range(2)]
    spheres[1].apply_translation([far, 0.0, 0.0])
    samples = [sample_mesh(s, 20_000, np.random.default_rng(0)) for s in spheres]
    depths = penetration_depths(spheres, samples)
    assert depths.max() == pytest.approx(2.0 - far, abs=0.02)
    cosines = np.linspace(far / 2, 1.0, 10_001)  # uniform on a sphere, by Archimedes
    inside = 1.0 - np.sqrt(1.0 + far**2 - 2 * far * cosines)
    expected = inside.mean() * (1.0 - far / 2) / 2
    assert depths.mean() == pytest.approx(expected, rel=0.05)
    assert not penetration_depths(spheres[:1], samples[:1]).any()


def test_what_stands_stays_at_rest():
    stack = {"table": box((1.0, 0.2, 1.0)), "mug": box((0.2, 0.2, 0.2), (0.1, 0.2, 0.1))}
    found = scene_dynamics(stack, points=FEW)
    assert found.depth < 1e-9 and found.displacement < 1e-3 and found.peak_energy < 1e-3
    assert found.seconds < 5


@pytest.mark.parametrize("height", [0.1, 0.4])
def test_a_falling_box_has_the_energy_of_its_height_and_moves_by_it(height):
    """Alone in its scene but for a slab that tells where the ground is; energies are per mass of
    all, so the slab is as heavy as it is.
    """
    slab = box((0.5, 0.01, 0.5), (3.0, 0.0, 0.0))
    cube = box((0.2, 0.2, 0.2), (0.0, height + 0.1 - 0.005, 0.0))
    found = scene_dynamics({"slab": slab, "cube": cube}, points=FEW)
    share = cube.volume / (cube.volume + slab.volume)
    assert found.peak_energy == pytest.approx(share * GRAVITY * height, rel=0.05)
    assert found.displacement == pytest.approx(height / 2, rel=0.05)


def test_a_tall_box_on_an_edge_falls_over():
    tall = box((0.1, 1.0, 0.1)).apply_transform(
        trimesh.transformations.rotation_matrix(0.3, [0, 0, 1])
    )
    found = scene_dynamics({"tall": tall}, points=FEW)
    assert found.displacement > 0.3 and found.peak_energy > 1.0


def test_the_protocol_takes_the_true_scene_as_one_metre():
    truth = {"floor": box((2.0, 0.2, 2.0)), "cube": box((0.4, 0.4, 0.4), (0.0, 0.3, 0.0))}
    lifted = {**truth, "cube": box((0.4, 0.4, 0.4), (0.0, 0.7, 0.0))}
    good = score_scene(truth, truth, TETRIS3D)
    bad = score_scene(lifted, truth, TETRIS3D)
    assert good.depth < 1e-5 and good.displacement < 1e-3 and good.peak_energy < 1e-2
    assert bad.displacement == pytest.approx(0.4 / 2 / 2, rel=0.05)
    assert score_scene({}, truth, TETRIS3D).displacement is None


def test_nothing_and_no_library_are_said(monkeypatch):
    with pytest.raises(InputError, match="none of 0 objects"):
        scene_dynamics({})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[sim\]'"):
        scene_dynamics({"cube": box((1, 1, 1))})


def splinter(at):
    """A light, thin thing that spins when it falls off a cube; about ``at``."""
    turn = trimesh.transformations.rotation_matrix(1.2, [0, 0.2, 1])
    thin = box((0.3, 0.004, 0.02)).apply_transform(turn).apply_translation((0.0, 0.3, 0.0))
    cube = box((0.2, 0.2, 0.2), (0.0, 0.01, 0.0))
    return {name: m.apply_translation(at) for name, m in (("thin", thin), ("cube", cube))}


def test_where_the_scene_is_makes_no_difference():
    """What spins far from the origin of its frame gains energy with every step."""
    here = scene_dynamics(splinter((0, 0, 0)), points=FEW, seconds=3)
    there = scene_dynamics(splinter((3, 0, -2)), points=FEW, seconds=3)
    assert there.displacement == pytest.approx(here.displacement, rel=1e-3)
    assert there.peak_energy == pytest.approx(here.peak_energy, rel=1e-3) and here.peak_energy < 0.1


def test_boxes_that_overlap_by_half_part_slowly():
    """Contacts of MuJoCo are critically damped with a time constant of 20 ms, so a depth goes away
    no faster than at depth / (e * 10 ms), shared by two of equal mass.
    """
    depth = 0.1
    boxes = {k: box((0.2, 0.2, 0.2), (depth * k, 0.1, 0.0)) for k in range(2)}
    found = scene_dynamics({str(k): b for k, b in boxes.items()}, points=FEW)
    speed = depth / (np.e * 0.01) / 2
    assert 0.01 < found.peak_energy < speed**2 / 2
    assert depth / 2 < found.displacement < 2 * depth


@pytest.mark.parametrize("speed", [1e6, np.nan])
def test_what_diverges_is_not_measured_and_that_is_said(speed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes of what is no number into a log file

    def thrown(bodies):
        world = world_of(bodies)
        world.data.qvel[:3] = speed
        return world

    monkeypatch.setattr("maquette.evaluate.dynamics.world_of", thrown)
    cube = {"cube": box((1, 1, 1))}
    score = score_scene(cube, cube, TETRIS3D)
    assert score.displacement is None and score.peak_energy is None and score.depth == 0
    assert any("diverged" in hint for hint in score.hints)
