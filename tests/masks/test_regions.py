import numpy as np
import pytest

from maquette.masks.regions import clicked_region

HEIGHT = 90
WIDTH = 120
Y, X = np.mgrid[:HEIGHT, :WIDTH]
DISC = (X - 35) ** 2 + (Y - 45) ** 2 < 18**2
BLOCK = (abs(X - 85) < 16) & (abs(Y - 40) < 20)


def photo():
    picture = np.full((HEIGHT, WIDTH, 3), 210, np.uint8)
    picture[DISC] = (190, 60, 40)
    picture[BLOCK] = (40, 80, 170)
    return np.clip(picture + np.random.default_rng(0).normal(0, 2, picture.shape), 0, 255).astype(
        np.uint8
    )


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize(
    ("click", "mask"), [((45, 35), DISC), ((38, 28), DISC), ((40, 85), BLOCK), ((54, 95), BLOCK)]
)
def test_a_click_finds_the_object_wherever_it_falls_on_it(click, mask):
    region = clicked_region(photo(), [click], [])
    assert region[click] and iou(region, mask) > 0.9


def test_several_clicks_are_one_region():
    region = clicked_region(photo(), [(45, 35), (40, 85)], [])
    assert region[45, 35] and region[40, 85]


def test_other_clicks_keep_their_side():
    region = clicked_region(photo(), [(45, 35)], [(40, 85)])
    assert region[45, 35] and not region[40, 85]


def test_the_region_turns_with_the_photo():
    upright = clicked_region(photo(), [(45, 35)], [])
    turned = clicked_region(photo()[::-1, ::-1].copy(), [(HEIGHT - 46, WIDTH - 36)], [])
    assert iou(turned[::-1, ::-1], upright) > 0.95
