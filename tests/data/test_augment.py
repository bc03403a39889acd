import time

import cv2
import numpy as np
import pytest

from maquette.data.augment import (
    AugmentConfig,
    MaskJitter,
    augment_image,
    jitter_labels,
    jitter_mask,
)

QUIET = AugmentConfig(
    exposure=0,
    white_balance=0,
    gamma=0,
    contrast=0,
    saturation=0,
    channel=0,
    vignette=0,
    haze=0,
    blur=0,
    noise=0,
    jpeg_probability=0,
    grey_probability=0,
)


@pytest.fixture
def picture() -> np.ndarray:
    coarse = np.random.default_rng(0).uniform(30, 220, (6, 6, 3)).astype(np.float32)
    return cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def disc(radius: float, size: int = 128) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.hypot(x - size / 2, y - size / 2) < radius


def test_nothing_changes_when_everything_is_off(picture: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    assert np.abs(augment_image(picture, rng, QUIET).astype(int) - picture).max() <= 1
    assert np.array_equal(jitter_mask(disc(20), rng, MaskJitter(probability=0)), disc(20))


def test_pictures_vary_but_show_the_same(picture: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    results = np.stack([augment_image(picture, rng) for _ in range(60)]).astype(float)
    assert results.shape == (60, 128, 128, 3) and results.mean((1, 2, 3)).std() > 10
    grey = results.mean(-1).reshape(60, -1)
    similarity = [np.corrcoef(g, picture.mean(-1).ravel())[0, 1] for g in grey]
    assert np.median(similarity) > 0.9 and min(similarity) > 0.4


def test_a_grey_picture_has_no_colour(picture: np.ndarray) -> None:
    config = AugmentConfig(**{**QUIET.__dict__, "grey_probability": 1.0})
    assert (
        np.ptp(augment_image(picture, np.random.default_rng(3), config).astype(int), axis=-1).max()
        <= 1
    )


def test_haze_hides_what_is_far(picture: np.ndarray) -> None:
    config = AugmentConfig(**{**QUIET.__dict__, "haze": 0.9, "haze_probability": 1.0})
    depth = np.broadcast_to(np.linspace(5.0, 1.0, 128)[:, None], (128, 128)).astype(np.float32)
    change = np.abs(
        augment_image(picture, np.random.default_rng(4), config, depth=depth).astype(int) - picture
    ).mean((1, 2))
    assert change[:10].mean() > 5 * max(change[-10:].mean(), 0.2)


def test_augmentation_depends_on_the_generator_only_and_is_fast(picture: np.ndarray) -> None:
    first, second = (augment_image(picture, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    rng = np.random.default_rng(6)
    started = time.process_time()
    for _ in range(50):
        augment_image(picture, rng)
    assert (time.process_time() - started) / 50 < 0.03


@pytest.mark.parametrize("radius", [2, 5, 15, 50])
def test_jittered_masks_stay_near_the_mask(radius: int) -> None:
    rng = np.random.default_rng(7)
    mask = disc(radius)
    results = [jitter_mask(mask, rng) for _ in range(80)]
    ious = [(r & mask).sum() / (r | mask).sum() for r in results]
    assert min(ious) > 0.35 and np.median(ious) > 0.8 and all(r.any() for r in results)
    assert len({r.tobytes() for r in results}) > (10 if radius > 2 else 1)
    far = ~disc(radius + 9)
    assert not any((r & far).any() for r in results)


def test_a_fragment_is_sometimes_lost_but_never_the_largest() -> None:
    mask = disc(20)
    mask[5:12, 5:12] = True
    rng = np.random.default_rng(8)
    results = [jitter_mask(mask, rng) for _ in range(200)]
    lost = [not r[4:13, 4:13].any() for r in results]
    assert 0.03 < np.mean(lost) < 0.3 and all(r[60:68, 60:68].any() for r in results)


def test_labels_survive_and_empty_masks_stay_empty() -> None:
    labels = np.zeros((128, 128), np.int32)
    labels[disc(30)] = 1
    labels[disc(12)] = 2
    labels[3, 3] = 7
    rng = np.random.default_rng(9)
    for _ in range(30):
        jittered = jitter_labels(labels, rng)
        assert set(np.unique(jittered)) == {0, 1, 2, 7} and jittered.dtype == labels.dtype
    assert not jitter_mask(np.zeros((64, 64), bool), rng).any()
    assert not jitter_labels(np.zeros((64, 64), np.int32), rng).any()
