import math

import numpy as np
import pytest
import trimesh

from maquette.data.polygons import polygon_centroid, signed_area
from maquette.data.table_tops import chain_loops, slice_segments, top_polygon
from tests.data.toys import toy, toy_table


@pytest.mark.parametrize("shape", ["box", "cylinder", "table"])
def test_top_polygons_match_an_independent_slice(shape: str) -> None:
    asset = {
        "box": toy(trimesh.creation.box((1.0, 0.3, 0.6))),
        "cylinder": toy(trimesh.creation.cylinder(0.5, 0.4), upright=True),
        "table": toy_table(),
    }[shape]
    polygon = top_polygon(asset.vertices, asset.faces)
    extent = np.ptp(asset.vertices, axis=0)
    exact = {
        "box": extent[0] * extent[2],
        "cylinder": math.pi / 4 * extent[0] * extent[2],
        "table": extent[0] * extent[2],
    }[shape]
    assert abs(signed_area(polygon)) == pytest.approx(exact, rel=0.01)
    assert np.abs(polygon_centroid(polygon)).max() < 2e-3


def test_a_torus_is_cut_into_two_loops() -> None:
    torus = trimesh.creation.torus(1.0, 0.25)
    segments = slice_segments(torus.vertices[:, [0, 2, 1]], torus.faces, 0.01)
    areas = sorted(abs(signed_area(loop)) for loop in chain_loops(segments))
    assert len(areas) == 2
    assert areas == pytest.approx([math.pi * 0.75**2, math.pi * 1.25**2], rel=0.03)
