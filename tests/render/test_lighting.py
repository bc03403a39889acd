import numpy as np

from maquette.render.lighting import dome, random_lighting, studio_lighting


def test_random_lighting_is_reproducible_varied_and_well_exposed():
    lights = [random_lighting(np.random.default_rng(seed)) for seed in range(200)]
    again = random_lighting(np.random.default_rng(7))
    np.testing.assert_array_equal(again.direction, lights[7].direction)
    np.testing.assert_array_equal(again.key, lights[7].key)
    towards = np.array([light.direction for light in lights])
    np.testing.assert_allclose(np.linalg.norm(towards, axis=1), 1.0)
    assert towards[:, 1].min() > 0.3 and np.abs(towards.mean(0)[[0, 2]]).max() < 0.15
    brightest = np.array([light.key + 0.8 * light.sky for light in lights])
    assert brightest.min() > 0.5 and brightest.max() < 1.8
    assert min(light.key.min() for light in lights) > 0.1


def test_studio_light_turns_with_the_camera():
    straight, turned = studio_lighting().direction, studio_lighting(np.pi / 2).direction
    np.testing.assert_allclose(turned, [straight[2], straight[1], -straight[0]])


def test_the_dome_covers_the_upper_hemisphere_evenly():
    towards = dome(4000)
    np.testing.assert_allclose(np.linalg.norm(towards, axis=1), 1.0)
    # equal areas of a sphere have equal heights: a mean height of one half, less the horizon
    assert towards[:, 1].min() > 0.08 - 1e-9
    np.testing.assert_allclose(towards.mean(0), [0.0, 0.54, 0.0], atol=2e-3)
