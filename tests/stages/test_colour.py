"""Colours of what the photo shows, and of what it does not."""

import numpy as np

from maquette.stages.colour import _hidden_colours


def test_hidden_vertices_take_the_colours_shown_next_to_them_and_far_away_their_mean():
    x = np.linspace(0, 1, 101)
    vertices = np.stack([x, 0 * x, 0 * x], axis=1)
    photo = np.where(x[:, None] < 0.25, [200.0, 0, 0], [0, 0, 100.0])
    shown = (x < 0.5).astype(float)
    hidden = _hidden_colours(vertices, photo, np.full((101, 3), 7.0), shown)
    mean = photo[shown > 0.5].mean(0)
    assert np.abs(hidden[51] - photo[49]).max() < 0.2 * np.abs(photo[49] - mean).max()  # no seam
    np.testing.assert_allclose(hidden[-1], mean, atol=2)
    assert (
        _hidden_colours(vertices, photo, np.full((101, 3), 7.0), 0 * shown) == 7
    ).all()  # nothing is shown: the volume's colours
