import numpy as np
import pytest
from scipy.spatial import ConvexHull, HalfspaceIntersection

from maquette.errors import InputError
from maquette.geometry.boxes import box_iou
from maquette.geometry.oriented_boxes import (
    OrientedBox,
    axis_aligned,
    intersection_volume,
    oriented_box_iou,
    polyhedron_volume,
    smallest_box,
    smallest_yaw_box,
    yaw_box,
)


def turn(rng):
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def some_box(rng, near=0.6):
    return OrientedBox(near * rng.normal(size=3), rng.uniform(0.3, 2.0, 3), turn(rng))


def test_equals_scipys_halfspace_intersection():
    """An independent way: an inner point by random search, Qhull for the rest."""
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(60):
        a = some_box(rng)
        b = some_box(rng)
        planes = np.concatenate([a.planes, b.planes])
        tries = a.centre + ((rng.random((4000, 3)) - 0.5) * a.sides) @ a.rotation.T
        depth = (tries @ planes[:, :3].T - planes[:, 3]).max(1)
        if depth.min() > -1e-3:
            continue
        corners = HalfspaceIntersection(
            np.column_stack([planes[:, :3], -planes[:, 3]]), tries[depth.argmin()]
        ).intersections
        assert intersection_volume(a, b) == pytest.approx(ConvexHull(corners).volume, rel=1e-9)
        compared += 1
    assert compared > 20


def test_agrees_with_the_area_seen_from_above_times_the_common_height():
    """Boxes that turn about +Y only: the bird's-eye polygon of the SUN RGB-D evaluation, by
    clipping in the plane.
    """
    rng = np.random.default_rng(1)
    for _ in range(40):
        a, b = (
            yaw_box(0.4 * rng.normal(size=3), rng.uniform(0.3, 1.5, 3), rng.uniform(0, 7))
            for _ in range(2)
        )
        polygon = a.corners[[0, 1, 5, 4]][:, [0, 2]]
        for normal, offset in [(p[[0, 2]], p[3]) for p in b.planes if abs(p[1]) < 0.5]:
            clipped = []
            for p, q in zip(polygon, np.roll(polygon, -1, axis=0)):
                hp = p @ normal - offset
                hq = q @ normal - offset
                clipped += [p] if hp <= 0 else []
                clipped += [p + (q - p) * hp / (hp - hq)] if hp * hq < 0 else []
            polygon = np.array(clipped).reshape(-1, 2)
        x, z = polygon.T
        area = 0.5 * abs(x @ np.roll(z, -1) - z @ np.roll(x, -1)) if len(polygon) else 0.0
        low = max(a.centre[1] - a.sides[1] / 2, b.centre[1] - b.sides[1] / 2)
        high = min(a.centre[1] + a.sides[1] / 2, b.centre[1] + b.sides[1] / 2)
        assert intersection_volume(a, b) == pytest.approx(area * max(0.0, high - low), abs=1e-9)


def test_axis_aligned_boxes_give_the_plain_iou():
    rng = np.random.default_rng(2)
    for _ in range(50):
        a, b = (np.sort(rng.random((2, 3)), axis=0) for _ in range(2))
        assert oriented_box_iou(axis_aligned(a), axis_aligned(b)) == pytest.approx(
            box_iou(a, b), abs=1e-12
        )


def test_identity_containment_symmetry_and_touching():
    rng = np.random.default_rng(3)
    for _ in range(20):
        a = some_box(rng)
        b = some_box(rng)
        assert oriented_box_iou(a, a) == pytest.approx(1.0, abs=1e-9)
        assert oriented_box_iou(a, b) == pytest.approx(oriented_box_iou(b, a), abs=1e-9)
        inner = OrientedBox(a.centre, 0.5 * a.sides, a.rotation)
        assert oriented_box_iou(a, inner) == pytest.approx(1 / 8)
        beside = OrientedBox(
            a.centre + a.rotation[:, 0] * a.sides[0], a.sides, a.rotation
        )  # shares a face
        assert oriented_box_iou(a, beside) == pytest.approx(0.0, abs=1e-7)
        turned = OrientedBox(
            a.centre, a.sides[[1, 0, 2]], a.rotation[:, [1, 0, 2]] * [1, 1, -1]
        )  # the same box, other axes
        assert oriented_box_iou(a, turned) == pytest.approx(1.0, abs=1e-9)


def test_does_not_change_when_both_boxes_move_and_grow():
    rng = np.random.default_rng(4)
    a = some_box(rng, 0.2)
    b = some_box(rng, 0.2)
    rotation = turn(rng)
    shift = np.array([1e3, -2e3, 5e2])
    moved = [
        OrientedBox(7 * rotation @ box.centre + shift, 7 * box.sides, rotation @ box.rotation)
        for box in (a, b)
    ]
    assert oriented_box_iou(*moved) == pytest.approx(oriented_box_iou(a, b), rel=1e-8)


def test_a_turned_square_has_the_known_octagon():
    a = yaw_box([0, 0, 0], [1, 1, 1], 0.0)
    b = yaw_box([0, 0, 0], [1, 1, 1], np.pi / 4)
    assert intersection_volume(a, b) == pytest.approx(2 * np.sqrt(2) - 2)


def test_flat_boxes_have_no_volume_and_nonsense_is_refused():
    flat = yaw_box([0, 0, 0], [1, 0, 1], 0.3)
    assert intersection_volume(flat, flat) == 0.0 and oriented_box_iou(flat, flat) == 0.0
    with pytest.raises(InputError, match="unusable"):
        oriented_box_iou(yaw_box([0, 0, np.nan], [1, 1, 1], 0.0), flat)


def test_volume_of_a_polyhedron_is_that_of_its_hull():
    box = some_box(np.random.default_rng(5))
    hull = ConvexHull(box.corners)
    assert polyhedron_volume([hull.points[s] for s in hull.simplices]) == pytest.approx(box.volume)


@pytest.mark.parametrize("yaw", [0.0, 0.3, 1.2, 2.9])
def test_the_smallest_yaw_box_of_a_boxs_points_is_the_box(yaw):
    box = yaw_box([1.0, -2.0, 3.0], [0.5, 0.8, 1.7], yaw)
    found = smallest_yaw_box(box.corners)
    assert oriented_box_iou(found, box) == pytest.approx(1.0, abs=1e-7)
    np.testing.assert_allclose(found.rotation[1], [0, 1, 0], atol=1e-12)


def test_the_smallest_box_of_a_boxs_points_is_the_box_and_holds_all_points():
    rng = np.random.default_rng(6)
    for _ in range(5):
        box = some_box(rng)
        points = box.centre + ((rng.random((300, 3)) - 0.5) * box.sides) @ box.rotation.T
        assert oriented_box_iou(
            smallest_box(np.vstack([points, box.corners])), box
        ) == pytest.approx(1.0, abs=1e-6)
        found = smallest_box(points)
        assert np.linalg.det(found.rotation) == pytest.approx(1.0)
        assert (
            points @ found.planes[:, :3].T <= found.planes[:, 3] + 1e-9
        ).all() and found.volume <= box.volume * 1.05


@pytest.mark.parametrize("scale", [[1, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0]])
def test_flat_points_have_boxes_too(scale):
    points = np.random.default_rng(7).random((20, 3)) * scale
    for box in (smallest_box(points), smallest_yaw_box(points)):
        assert np.isfinite(box.corners).all() and box.volume == pytest.approx(0.0, abs=1e-12)
