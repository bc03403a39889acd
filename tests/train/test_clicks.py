"""Simulated pointing: clicks go to the middle of the larger error, boxes scatter about the true
one.
"""

import numpy as np

from maquette.train.clicks import drawn_box, next_click


def disc(row, column, radius, size=64):
    y, x = np.mgrid[:size, :size]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def test_the_first_click_goes_to_the_middle():
    click = next_click(disc(20, 40, 9), np.zeros((64, 64), bool))
    assert (click.row, click.column, click.positive) == (20, 40, True)


def test_a_border_is_an_edge():
    """A strip along the border is clicked on in its middle, not on the border."""
    strip = np.zeros((64, 64), bool)
    strip[:, :11] = True
    click = next_click(strip, np.zeros_like(strip))
    assert click.column == 5 and 5 <= click.row < 59


def test_the_larger_error_is_clicked_on():
    truth, extra = disc(16, 16, 8), disc(46, 46, 11)
    click = next_click(truth, extra)
    assert (click.row, click.column, click.positive) == (46, 46, False)
    click = next_click(extra, truth)
    assert (click.row, click.column, click.positive) == (46, 46, True)
    counts = np.ones((64, 64), bool)
    counts[30:] = False  # what lies outside of the photo cannot be clicked on
    assert not next_click(extra, truth, counts).positive


def test_nothing_is_wrong_with_the_truth():
    assert next_click(disc(20, 20, 9), disc(20, 20, 9)) is None


def test_drawn_clicks_stay_deep_inside_the_error():
    truth = disc(30, 30, 20)
    rng = np.random.default_rng(0)
    places = np.array([next_click(truth, ~truth & False, rng=rng)[:2] for _ in range(40)])
    away = np.hypot(*(places - 30).T)
    assert away.max() <= 11 and away.std() > 1  # half as deep as the middle, and not always there


def test_drawn_boxes_scatter_about_the_true_one():
    rng = np.random.default_rng(0)
    box = (10, 20, 50, 100)
    assert drawn_box(box, rng, spread=0.0) == box
    drawn = np.array([drawn_box(box, rng) for _ in range(400)])
    np.testing.assert_allclose(drawn.mean(0), box, atol=0.7)
    np.testing.assert_allclose(drawn.std(0), [2, 4, 2, 4], rtol=0.15)
