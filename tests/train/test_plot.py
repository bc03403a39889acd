import numpy as np
from PIL import Image

from maquette.train.plot import _BOTTOM, _LEFT, _RIGHT, write_loss_plot

CURVE = (30, 90, 180)


def heights(path):
    """Mean y of the thick curve in each column of pixels, nan where there is none."""
    with Image.open(path) as image:
        picture = np.asarray(image)
    rows = np.arange(picture.shape[0])[:, None]
    blue = np.abs(picture.astype(int) - CURVE).sum(-1) < 30
    curve = blue & (rows < _BOTTOM + 5)
    return np.where(curve.any(0), (rows * curve).sum(0) / np.maximum(curve.sum(0), 1), np.nan)


def test_an_exponential_loss_is_a_straight_falling_line(tmp_path):
    write_loss_plot(
        tmp_path / "loss.png", [{"step": k, "loss": float(np.exp(-k / 50))} for k in range(400)]
    )
    y = heights(tmp_path / "loss.png")
    x = np.flatnonzero(~np.isnan(y))[20:-20]
    slope, offset = np.polyfit(x, y[x], 1)
    assert slope > 0.2
    assert np.abs(y[x] - slope * x - offset).max() < 3
    assert x[0] > _LEFT
    assert x[-1] < _RIGHT


def test_a_single_outlier_does_not_move_the_thick_line(tmp_path):
    rows = [{"step": k, "loss": 1.0 + 0.001 * (k % 2)} for k in range(400)]
    write_loss_plot(tmp_path / "a.png", [*rows[:200], {"step": 200, "loss": 1.02}, *rows[201:]])
    y = heights(tmp_path / "a.png")
    assert np.nanmax(y) - np.nanmin(y) < 60


def test_rows_without_a_loss_and_short_runs_are_drawn_too(tmp_path):
    for rows in (
        [],
        [{"step": 0, "loss": 1.0}],
        [{"step": 0, "lr": 1.0}, {"step": 1, "loss": 0.0}, {"step": 2, "loss": 2.0}],
    ):
        write_loss_plot(tmp_path / "loss.png", rows)
        assert (
            heights(tmp_path / "loss.png").shape == (900,)
            and np.isnan(heights(tmp_path / "loss.png")).all()
        )
