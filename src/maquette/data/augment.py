"""What cameras, files and hurried people do to pictures and masks: photometric augmentation and
mask jitter, seeded and fast.

Last step of the data engine, applied while training, so that networks trained on rendered views
work on photographs and on masks that were drawn by hand or by a segmenter. Geometry is left alone:
no crop, flip or warp, since the camera is part of the truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from maquette.masks.labels import labels_in
from maquette.photos.pixels import connected_parts

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
ENCODING = 2.2  # exponent between linear light and what is stored
GREEN_BALANCE = 0.3  # how much less white balance changes green than red and blue
UNIT_SIDE = 128  # pixels; lengths of effects are those in a picture of this height
JPEG_QUALITY = (25, 95)
DEFOCUSED = 0.6  # share of blurred pictures that are out of focus; the others were made smaller
COLOURED = 0.6  # share of noisy pictures whose channels have noise of their own


@dataclass(frozen=True)
class MaskJitter:
    """How hands and segmenters draw a mask. Lengths in shares of the square root of its area."""

    probability: float = 0.6  # that a mask is disturbed at all
    reach: float = 0.06  # how far its boundary moves: small objects bear little
    most_reach: float = 2.5  # the same, in pixels at UNIT_SIDE
    wave: float = 0.8  # largest deviation of a wavy boundary, of the reach
    cells: tuple[int, ...] = (4, 8, 16)  # of the waves, along the picture
    hole_probability: float = 0.25
    hole: float = 0.12  # largest radius of a hole
    fragment_probability: float = 0.2  # that a fragment is lost
    least_left: float = 0.4  # share of the area; a mask that would lose more stays


JITTER = MaskJitter()


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths; 0 switches an effect off. Probabilities where the name says so, else a standard
    deviation or largest value.
    """

    exposure: float = 0.25  # of the logarithm of the gain, on linear light
    white_balance: float = 0.08  # of the logarithm of the red and blue gains
    gamma: float = 0.15  # of the logarithm of the exponent
    contrast: float = 0.18
    saturation: float = 0.3
    channel: float = 0.03  # offset per channel, in 0..1
    vignette: float = 0.5  # largest loss of light in the corners
    vignette_probability: float = 0.4
    haze: float = 0.35  # largest share of haze at the far end
    blur: float = 0.9  # largest deviation of a Gaussian, pixels at 128
    noise: float = 0.05  # largest deviation, in 0..1
    haze_probability: float = 0.1
    blur_probability: float = 0.3
    noise_probability: float = 0.4
    jpeg_probability: float = 0.4
    grey_probability: float = 0.03


def augment_image(
    image: np.ndarray,
    rng: Generator,
    config: AugmentConfig | None = None,
    *,
    depth: np.ndarray | None = None,
) -> np.ndarray:
    """Another picture (H, W, 3) uint8 of the same scene as `image`; haze follows `depth` (H, W)
    when it is given.
    """
    config = config or AugmentConfig()
    light = (image.astype(np.float32) * np.float32(1.0 / 255.0)) ** np.float32(ENCODING)
    light *= _gains(rng, config)
    if config.vignette > 0.0 and rng.random() < config.vignette_probability:
        light *= _vignette(rng, config.vignette, *image.shape[:2])[..., None]
    if config.haze > 0.0 and rng.random() < config.haze_probability:
        light = _hazy(light, rng, config.haze, depth)
    exponent = np.float32(math.exp(rng.normal(0.0, config.gamma)) / ENCODING)
    return _recorded(_toned(np.minimum(light, 4.0) ** exponent, rng, config), rng, config)


def _gains(rng: Generator, config: AugmentConfig) -> np.ndarray:
    """(3,) float32 exposure times white balance."""
    balance = rng.normal(0.0, 1.0, 3) * config.white_balance * (1.0, GREEN_BALANCE, 1.0)
    return np.exp(rng.normal(0.0, config.exposure) + balance).astype(np.float32)


def _vignette(
    rng: Generator,
    most: float,
    height: int,
    width: int,
) -> np.ndarray:
    """(H, W) float32 share of light that is left, falling with the square of the distance from the
    middle.
    """
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    loss = np.float32(0.5 * rng.uniform(0.0, most))
    return 1.0 - loss * (x * x + y * y)


def _hazy(
    light: np.ndarray,
    rng: Generator,
    most: float,
    depth: np.ndarray | None,
) -> np.ndarray:
    """Blend towards a pale colour, the more the farther when depth is known."""
    share = np.float32(rng.uniform(0.0, most))
    air = (rng.uniform(0.5, 0.9) + rng.uniform(-0.05, 0.05, 3)).astype(np.float32)
    if depth is None or not np.isfinite(depth).any():
        return light + share * (air - light)
    near = float(depth.min())
    far = float(depth[np.isfinite(depth)].max())
    reach = ((depth - near) / max(far - near, 1e-6)).clip(0.0, 1.0).astype(np.float32)
    return light + share * reach[..., None] * (air - light)


def _toned(encoded: np.ndarray, rng: Generator, config: AugmentConfig) -> np.ndarray:
    """Contrast about the mean, saturation about grey, and an offset per channel."""
    mean = np.float32(encoded.mean())
    encoded = mean + np.float32(math.exp(rng.normal(0.0, config.contrast))) * (encoded - mean)
    grey = (encoded @ LUMA)[..., None]
    saturation = np.float32(0.0)
    if rng.random() >= config.grey_probability:
        saturation = np.float32(math.exp(rng.normal(0.0, config.saturation)))
    offset = rng.normal(0.0, config.channel, 3).astype(np.float32)
    return grey + saturation * (encoded - grey) + offset


def _recorded(encoded: np.ndarray, rng: Generator, config: AugmentConfig) -> np.ndarray:
    """Lens blur or a lower resolution, sensor noise, and JPEG."""
    if config.blur > 0.0 and rng.random() < config.blur_probability:
        encoded = _blurred(encoded, rng, config.blur)
    if config.noise > 0.0 and rng.random() < config.noise_probability:
        channels = 3 if rng.random() < COLOURED else 1
        grain = rng.standard_normal((*encoded.shape[:2], channels), dtype=np.float32)
        encoded = encoded + np.float32(rng.uniform(0.0, config.noise)) * grain
    levels = encoded * np.float32(255.0) + np.float32(0.5)
    picture = levels.clip(0.0, 255.0).astype(np.uint8)
    if rng.random() < config.jpeg_probability:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*JPEG_QUALITY))]
        _, packed = cv2.imencode(".jpg", picture[..., ::-1], quality)
        decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
        picture = np.ascontiguousarray(decoded[..., ::-1])
    return picture


def _blurred(encoded: np.ndarray, rng: Generator, most: float) -> np.ndarray:
    """Out of focus, or through a lower resolution."""
    height, width = encoded.shape[:2]
    if rng.random() < DEFOCUSED:
        deviation = float(rng.uniform(0.1, most)) * height / UNIT_SIDE
        return cv2.GaussianBlur(encoded, (0, 0), max(deviation, 0.1))
    shrink = float(rng.uniform(0.45, 0.95))
    size = max(int(width * shrink), 1), max(int(height * shrink), 1)
    small = cv2.resize(encoded, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


# ---- masks


def jitter_labels(instance: np.ndarray, rng: Generator, jitter: MaskJitter = JITTER) -> np.ndarray:
    """Disturb every mask of a label image (H, W) int32 (0 = background) on its own; where masks now
    overlap, a random one wins.

    Every label of the input is still there.
    """
    labels = labels_in(instance)
    jittered = np.zeros_like(instance)
    for label in rng.permutation(labels):
        jittered[jitter_mask(instance == label, rng, jitter)] = label
    for label in np.setdiff1d(labels, jittered):  # covered by others: it gets its own pixels back
        jittered[instance == label] = label
    return jittered


def jitter_mask(mask: np.ndarray, rng: Generator, jitter: MaskJitter = JITTER) -> np.ndarray:
    """Disturb a mask (H, W) bool by a few pixels: grown or shrunk, a wavy boundary, holes, a lost
    fragment. Never empty unless it was.
    """
    if not mask.any() or rng.random() >= jitter.probability:
        return mask.copy()
    pixel = mask.shape[0] / UNIT_SIDE
    thickness = math.sqrt(float(mask.sum()))
    reach = min(jitter.reach * thickness, jitter.most_reach * pixel)
    distance = _signed_distance(mask)
    wave = _smooth_noise(rng, mask.shape, int(rng.choice(jitter.cells)))
    grown = distance + reach * rng.normal(0.0, 0.5)
    moved = grown + reach * rng.uniform(0.0, jitter.wave) * wave > 0.0
    if rng.random() < jitter.hole_probability:
        moved &= ~_spots(mask, rng, jitter.hole * thickness)
    if rng.random() < jitter.fragment_probability:
        moved = _without_fragment(moved, rng)
    return moved if moved.sum() >= jitter.least_left * mask.sum() else mask.copy()


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """(H, W) float32 distance to the boundary in pixels, positive inside."""
    inside = mask.astype(np.uint8)
    outside = 1 - inside
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    return distance - cv2.distanceTransform(outside, cv2.DIST_L2, 3) if outside.any() else distance


def _smooth_noise(rng: Generator, shape: tuple[int, ...], cells: int) -> np.ndarray:
    """(H, W) float32 smooth noise of about unit deviation."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _spots(mask: np.ndarray, rng: Generator, radius: float) -> np.ndarray:
    """(H, W) bool, one to three discs of at most `radius` pixels at random places of the mask."""
    holes = np.zeros(mask.shape, np.uint8)
    rows, columns = np.nonzero(mask)
    for pick in rng.integers(0, len(rows), int(rng.integers(1, 4))):
        centre = int(columns[pick]), int(rows[pick])
        size = int(rng.uniform(0.3, 1.0) * radius)
        cv2.circle(holes, centre, max(size, 1), 1, -1)
    return holes > 0


def _without_fragment(mask: np.ndarray, rng: Generator) -> np.ndarray:
    """The mask without one of its smaller fragments, if it has several."""
    number, areas = connected_parts(mask)
    if len(areas) <= 2:
        return mask
    smaller = np.delete(np.arange(1, len(areas)), np.argmax(areas[1:]))
    return mask & (number != int(rng.choice(smaller)))
