"""What stands on what, on scenes whose depth and masks are drawn from the truth."""

import numpy as np
import pytest
import trimesh

from maquette.geometry.cameras import intrinsics_from_fov, look_at
from maquette.models.conditioning import letterbox
from maquette.render.rasterize import rasterize
from maquette.stages.frame import DepthPicture
from maquette.stages.support import (
    LIKELY,
    UNKNOWN,
    find_supports,
    ground_under,
    known_supports,
    likely_supports,
    without_cycles,
)
from maquette.types import GROUND, Camera, Support

SIZE = 256
EYE = np.array([0.1, 0.55, 1.5])


def block(sides, place):
    mesh = trimesh.creation.box(sides)
    mesh.apply_translation(place)
    return mesh


def seen(blocks, eye=EYE, height=SIZE):
    """Blocks by label -> what a camera sees of them, and their boxes."""
    camera = Camera(
        intrinsics_from_fov(0.9, SIZE, height), look_at(eye, np.array([0, -0.1, 0])), SIZE, height
    )
    whole = trimesh.util.concatenate(list(blocks.values()))
    owners = np.repeat(list(blocks), [len(b.faces) for b in blocks.values()]).astype(np.int32)
    drawn = rasterize(whole.vertices, whole.faces, camera, face_instance=owners)
    labels = np.maximum(drawn.instance, 0)
    picture = letterbox(np.zeros((height, SIZE, 3), np.uint8), labels, SIZE)
    depth = np.where(np.isfinite(drawn.depth), drawn.depth, 1e3)
    depth = np.pad(depth, (((SIZE - height) // 2,) * 2, (0, 0)), constant_values=1e3)
    boxes = {label: np.asarray(mesh.bounds) for label, mesh in blocks.items()}
    return DepthPicture(camera, picture, depth), boxes


def on(blocks, **view):
    return {label: support.on for label, support in find_supports(*seen(blocks, **view)).items()}


TABLE = block((0.7, 0.25, 0.5), (0, -0.275, 0))
CUP = block((0.1, 0.12, 0.1), (0.1, -0.09, 0.05))
CRATE = block((0.2, 0.2, 0.2), (-0.5, -0.3, 0.3))


@pytest.mark.parametrize("height", [SIZE, 192])
def test_a_cup_on_a_table_beside_a_crate(height):
    found = find_supports(*seen({1: TABLE, 2: CUP, 3: CRATE}, height=height))
    assert [found[k].on for k in (1, 2, 3)] == [GROUND, 1, GROUND]
    assert all(support.confidence > 0.8 for support in found.values())


def test_chains_of_three():
    saucer = block((0.25, 0.06, 0.25), (0.1, -0.12, 0.05))
    cup = block((0.1, 0.1, 0.1), (0.1, -0.04, 0.05))
    assert on({1: TABLE, 2: saucer, 3: cup, 4: CRATE}) == {1: GROUND, 2: 1, 3: 2, 4: GROUND}


@pytest.mark.parametrize("pitch", [0.1, 0.2, 0.35])
def test_what_hides_a_foot_is_no_supporter(pitch):
    """A low block in front of a high one, and a low camera."""
    high = block((0.2, 0.6, 0.2), (0.0, -0.1, -0.4))
    low = block((0.5, 0.2, 0.2), (0.0, -0.3, 0.2))
    eye = np.array([0.0, -0.1 + 1.6 * np.sin(pitch), 1.6 * np.cos(pitch)])
    found = on({1: high, 2: low, 3: CRATE}, eye=eye)
    assert found[1] in (None, GROUND) and found[2] == GROUND


def test_what_hangs_is_not_on_the_ground():
    lamp = block((0.15, 0.15, 0.15), (0.45, 0.25, -0.3))
    assert on({1: TABLE, 2: CRATE, 3: lamp})[3] is None


def test_what_the_photo_cuts_off_is_unknown():
    near = block((0.3, 0.3, 0.3), (0.0, -0.25, 0.95))
    assert on({1: near, 2: CRATE, 3: block((0.2, 0.2, 0.2), (0.5, -0.3, 0.0))})[1] is None


def test_a_mirror_image_stands_on_the_same():
    blocks = {1: TABLE, 2: CUP, 3: CRATE}
    mirrored = {}
    for label, mesh in blocks.items():
        mirrored[label] = block(mesh.extents, mesh.bounds.mean(0) * [-1, 1, 1])
    assert on(mirrored, eye=EYE * [-1, 1, 1]) == on(blocks)


def test_a_few_pixels_say_nothing():
    dot = block((0.004, 0.004, 0.004), (0.45, -0.39, 0.3))
    assert find_supports(*seen({1: TABLE, 2: CRATE, 3: dot})).get(3, UNKNOWN) == UNKNOWN


def test_circles_and_what_was_not_made_are_unknown():
    ring = {1: Support(2, 0.9), 2: Support(3, 0.9), 3: Support(2, 0.8), 4: Support(GROUND, 1.0)}
    found = without_cycles(ring)
    assert found[2] == found[3] == UNKNOWN
    assert found[1] == ring[1] and found[4] == ring[4]
    assert known_supports(ring, {1, 4}) == {1: UNKNOWN, 4: ring[4]}


def test_boxes_tell_what_hidden_feet_do_not():
    screen = block((0.4, 0.3, 0.02), (0.1, -0.25, 0.5))
    pillar = block((0.1, 0.5, 0.1), (0.1, -0.15, 0.0))
    given = seen({1: CRATE, 2: screen, 3: pillar, 4: block((0.1, 0.1, 0.1), (0.5, -0.35, 0.3))})
    sure = find_supports(*given)
    assert sure[3] == UNKNOWN
    likely = likely_supports(*given, sure)
    assert likely[3] == Support(GROUND, LIKELY)
    assert {k: likely[k] for k in (1, 2, 4)} == {k: sure[k] for k in (1, 2, 4)}
    assert likely_supports(*given, {3: UNKNOWN}) == {3: UNKNOWN}  # there is no known ground


def test_a_raised_box_stands_on_what_is_seen_below_it():
    given, boxes = seen({1: TABLE, 2: CUP, 3: CRATE})
    sure = {**find_supports(given, boxes), 2: UNKNOWN}
    found = likely_supports(given, boxes, sure)
    assert found[2] == Support(1, LIKELY)
    floating = block((0.1, 0.1, 0.1), (0.45, 0.2, 0.0))
    given, boxes = seen({1: TABLE, 3: CRATE, 4: floating})
    assert likely_supports(given, boxes, find_supports(given, boxes))[4] == UNKNOWN


def test_a_pole_is_not_on_what_hides_its_foot_though_its_box_ends_above_it():
    """Where what is seen of it ends near the ground, its box is wrong."""
    low = block((0.3, 0.2, 0.2), (0.1, -0.3, 0.1))
    pole = block((0.04, 0.8, 0.04), (0.1, 0.0, -0.15))
    given, boxes = seen({1: low, 2: pole, 3: CRATE})
    sure = find_supports(given, boxes)
    assert sure[2] == UNKNOWN
    boxes[2] = boxes[2] + [[0, 0.4, 0], [0, 0, 0]]
    assert likely_supports(given, boxes, sure)[2] == UNKNOWN


@pytest.mark.parametrize("out", [0.3, 0.5])
@pytest.mark.parametrize("sinks", [0.0, 0.2])
def test_what_reaches_over_an_edge_is_not_on_the_ground_below(out, sinks):
    """Also where its box is estimated to end near the ground."""
    width = 0.2
    over = block((width, 0.12, 0.1), (0.35 + (out - 0.5) * width, -0.09, 0.05))
    view, boxes = seen({1: TABLE, 2: over, 3: CRATE})
    boxes[2] = boxes[2] - [[0, sinks, 0], [0, 0, 0]]
    sure = {1: Support(GROUND, 1.0), 2: UNKNOWN, 3: Support(GROUND, 1.0)}
    assert likely_supports(view, boxes, sure)[2] == Support(1, LIKELY)


def test_the_ground_is_under_what_stands_on_it_and_under_nothing_else():
    picture, boxes = seen({1: TABLE, 2: CUP, 3: CRATE})
    heights = ground_under(picture, find_supports(picture, boxes))
    assert heights.keys() == {1, 3}
    assert list(heights.values()) == pytest.approx([-0.4, -0.4], abs=0.004)
    assert ground_under(picture, {1: UNKNOWN, 2: Support(1)}) == {}
    hidden = {1: Support(GROUND), 2: Support(GROUND, LIKELY)}  # where its box ends
    assert ground_under(picture, hidden)[2] == pytest.approx(-0.4, abs=0.004)
