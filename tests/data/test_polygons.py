import numpy as np
import pytest

from maquette.data.polygons import (
    convex_hull,
    distance_to_edges,
    inside_polygon,
    polygon_centroid,
    signed_area,
)

BOOT = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0], [1.0, 3.0], [0.0, 3.0]])


def test_polygon_measures_on_a_concave_outline() -> None:
    assert signed_area(BOOT) == pytest.approx(5.0) and signed_area(BOOT[::-1]) == pytest.approx(
        -5.0
    )
    assert np.allclose(polygon_centroid(BOOT), (1.1, 1.1)) and np.allclose(
        polygon_centroid(BOOT[::-1]), (1.1, 1.1)
    )
    points = np.array([[0.5, 2.5], [2.0, 2.0], [2.5, 0.5], [-0.1, 0.5]])
    assert inside_polygon(points, BOOT).tolist() == [True, False, True, False]
    assert np.allclose(distance_to_edges(points, BOOT), [0.5, 1.0, 0.5, 0.1])


def test_the_hull_of_a_cloud_is_convex_and_holds_it() -> None:
    cloud = np.random.default_rng(5).normal(size=(200, 2))
    hull = convex_hull(cloud)
    assert signed_area(hull) > 0
    edge = np.roll(hull, -1, axis=0) - hull
    offset = cloud[:, None] - hull
    assert (edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0] > -1e-9).all()
