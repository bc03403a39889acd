import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from maquette.evaluate.report.plots import (
    COUNT,
    HIDDEN,
    PER_CENT,
    SIZE,
    UNIT,
    Axis,
    Series,
    binned,
    plot,
)


def test_axes_map_their_ends_and_clip():
    assert SIZE.share(np.array([SIZE.low, SIZE.high, 0.0, 9.0])) == pytest.approx([0, 1, 0, 1])
    assert SIZE.share(np.array([np.sqrt(SIZE.low * SIZE.high)])) == pytest.approx([0.5])
    assert Axis("x", -2.0, 2.0, ()).share(np.array([-1.0])) == pytest.approx([0.25])


def test_bins_hold_means_and_intervals_of_enough_objects():
    x = np.repeat([1.0, 3.0, 5.0], [20, 4, 20])
    y = np.concatenate([np.full(20, 10.0), np.full(4, 99.0), np.linspace(0, 100, 20)])
    rows = binned(x, y, [0.0, 2.0, 4.0, 6.0])
    assert [row[0] for row in rows] == [1.0, 5.0] and rows[0][1:].tolist() == [10.0, 10.0, 10.0]
    assert rows[1][1] == pytest.approx(50) and rows[1][2] < 45 and rows[1][3] > 55


@pytest.mark.parametrize("axis", [SIZE, HIDDEN, COUNT])
def test_every_value_falls_into_a_bin(axis):
    edges = np.array(axis.edges)
    values = np.linspace(axis.low, axis.high, 50)
    assert (np.diff(edges) > 0).all() and ((values >= edges[0]) & (values < edges[-1])).all()


def test_plots_are_well_formed_and_stay_inside():
    rng = np.random.default_rng(0)
    series = [
        Series(
            f"a<b>&{k}",
            rng.uniform(0, 1, 80),
            np.where(rng.random(80) < 0.1, np.nan, rng.uniform(0, 1, 80)),
        )
        for k in range(2)
    ]
    for x, y in ((SIZE, UNIT), (HIDDEN, PER_CENT), (COUNT, UNIT)):
        root = ET.fromstring(plot(series, x, y))
        width, height = map(float, root.get("viewBox").split()[2:])
        numbers = [
            tuple(map(float, pair))
            for path in root.iter("path")
            for pair in re.findall(r"M([\d.]+) ([\d.]+)", path.get("d"))
        ]
        assert numbers and all(0 <= a <= width and 0 <= b <= height for a, b in numbers)
        assert {e.get("class") for e in root.iter("path")} == {"dots s0", "dots s1"}


def test_methods_without_objects_draw_nothing():
    root = ET.fromstring(plot([Series("none", np.zeros(0), np.zeros(0))], SIZE, UNIT))
    assert not list(root.iter("path")) and not list(root.iter("polyline"))
