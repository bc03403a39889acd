import numpy as np
import pytest

from maquette.data import backgrounds as b


@pytest.mark.parametrize("cells", [(2, 2), (32, 2), (4, 8)])
def test_noise_repeats_without_a_seam(cells):
    noise = b.tiling_noise(np.random.default_rng(0), cells, 3)
    assert abs(noise.mean()) < 1e-4 and noise.std() == pytest.approx(1, abs=1e-3)
    for axis in (0, 1):
        inside = np.abs(np.diff(noise, axis=axis)).max()
        seam = np.abs(noise.take(0, axis) - noise.take(-1, axis)).max()
        assert seam <= 1.5 * inside


@pytest.mark.parametrize(
    "family", [b.plain, b.rough, b.checker, b.planks, b.tiles, b.carpet, b.speckled, b.veined]
)
def test_a_texture_is_a_tile_near_its_colour_and_the_same_for_a_seed(family):
    colour = np.array([150.0, 120.0, 90.0])
    first, again, other = (family(np.random.default_rng(seed), colour) for seed in (1, 1, 2))
    assert first.shape == (b.TILE, b.TILE, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.abs(b.plain(np.random.default_rng(3), colour).mean((0, 1)) - colour).max() < 3


def test_ground_is_level_and_walls_are_upright_where_they_are_asked_for():
    rng = np.random.default_rng(0)
    for _ in range(8):
        ground = b.random_ground(rng, 2.0)
        assert (
            ground.normal.tolist() == [0, 1, 0]
            and np.abs(ground.axes @ ground.normal).max() < 1e-12
        )
        angle = rng.uniform(0, 2 * np.pi)
        towards = np.array([np.sin(angle), 0.0, np.cos(angle)])
        wall = b.random_wall(rng, towards, 3.0, 2.0)
        assert (
            wall.point @ towards == pytest.approx(-3.0)
            and np.abs(wall.axes @ towards).max() < 1e-12
        )
        for surface in (ground, wall):
            u, v = surface.axes
            assert abs(u @ v) < 1e-12 and np.linalg.norm(u) == pytest.approx(np.linalg.norm(v))
            assert ((surface.mean >= 0) & (surface.mean <= 1)).all()


def test_backdrops_and_colours_are_in_range():
    rng = np.random.default_rng(0)
    for _ in range(20):
        backdrop = b.random_backdrop(rng, 20, 30)
        assert (
            backdrop.shape == (20, 30, 3)
            and backdrop.dtype == np.float32
            and backdrop.min() >= 0
            and backdrop.max() <= 1
        )
    colours = np.array([b.random_colour(rng) for _ in range(200)])
    assert colours.min() >= 0 and colours.max() <= 255 and colours.std(0).min() > 20
