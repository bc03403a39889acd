"""What straight lines say of the camera: edges of things that people make are upright, or level and
at right angles to each other.

In the flow: photo + label map + the image network's camera -> its pitch and focal length, as the
network and the lines together have it. Each object has its own two level directions (an Atlanta
world; Schindler and Dellaert, CVPR 2004), what is around the objects has one more pair, and
uprights are common to all. A segment of the photo runs towards the vanishing point of one of them,
or has nothing to do with any (a mixture, as in Coughlan and Yuille, ICCV 1999). No direction is
chosen: the likelihood of a camera is the mean over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from scipy.special import logsumexp

from maquette.geometry.cameras import view_centric_rotation
from maquette.geometry.transforms import cos_and_sin
from maquette.photos.pixels import scaled_size

WORKING = 512  # pixels of the longer side of the picture that segments are found in
ENLARGED = 2.0  # times as large as it is, at most
SHORTEST = 14.0  # pixels there
MOST, LEAST = 60, 4  # segments of one object; the longest are asked
NEAR = 4.0  # pixels from an object, where a segment is still its own
# What is tried: pitches around the network's, radians, and logarithms of the focal length.
PITCHES = np.deg2rad(np.arange(-12.0, 12.1, 1.5))
FOCALS = np.arange(-0.6, 0.61, 0.15)
# How far off the network is (standard deviations).
PITCH_ERROR, FOCAL_ERROR = np.deg2rad(4.5), 0.3
YAWS = np.deg2rad(np.arange(0.0, 90.0, 3.0))
CURVED = np.deg2rad(0.6)  # what is no line misses the vanishing point by so much, ...
ENDS = np.deg2rad(40.0)  # ... and by this over its length for what its ends are off
UNRELATED = 0.7  # share of segments that follow no direction
PEAK = 2 / np.sqrt(2 * np.pi)  # of a half normal distribution with spread 1
ANYWHERE = 2 / np.pi  # per radian, of angles up to a right one
# Segments of one thing depend on each other, so they count for less than as many: weights of an
# object's and of the surroundings', and how much one of them can have against a camera.
OF_OBJECT, OF_SURROUNDINGS = 0.4, 0.2
MOST_AGAINST = 30.0
NO_DISTANCE = 1e-12  # squared, from a vanishing point
QUARTER_TURN = np.array([[0.0, 1.0], [-1.0, 0.0]], np.float32)


@dataclass(frozen=True, eq=False)
class LineSegments:
    """Straight segments of a photo; its longer side is 1, its centre the origin."""

    middle: np.ndarray  # (N, 2)
    along: np.ndarray  # (N, 2) of length 1
    spread: np.ndarray  # (N,) radians, how exactly it points

    @property
    def normal(self) -> np.ndarray:
        """(N, 2) of length 1, across it."""
        return self.along @ QUARTER_TURN

    @property
    def middle_off(self) -> np.ndarray:
        """(N,) how far the middle lies along the normal."""
        return (self.normal * self.middle).sum(1)

    def towards(self, directions: np.ndarray, focals: np.ndarray) -> np.ndarray:
        """(F, N, D) likelihood, per radian, that they are pictures of lines with directions (D, 3)
        in the camera's axes; focals (F,), in longer sides.
        """
        ahead = directions[:, 2]
        in_picture = directions[:, :2].T
        focals = focals[:, None, None]
        middles = (self.middle**2).sum(1)[:, None]
        # from a segment's middle towards the vanishing point: across the segment, and how far
        off = focals * (self.normal @ in_picture) - np.outer(self.middle_off, ahead)
        far = focals**2 * (in_picture**2).sum(0) + middles * ahead**2
        far = far - 2 * focals * (self.middle @ in_picture) * ahead
        precision = 1 / self.spread[:, None]
        scaled = off * off / np.maximum(far, NO_DISTANCE) * precision**2
        return PEAK * precision * np.exp(-0.5 * scaled)

    def likelihood(self, directions: np.ndarray, focals: np.ndarray) -> np.ndarray:
        """(F,) logarithm of that of cameras, in which directions (1 + 2 Y, 3) are the vertical and,
        for each of Y yaws, the two level ones.
        """
        found = self.towards(directions, focals)
        upright, first, second = np.split(found, [1, 1 + len(YAWS)], axis=2)
        related = (upright + first + second) / 3
        mixed = (1 - UNRELATED) * related + UNRELATED * ANYWHERE
        return logsumexp(np.log(mixed).sum(1), axis=1)

    def votes(self, pitches: np.ndarray, focals: np.ndarray) -> np.ndarray:
        """(pitches, focals) what they have against each camera: 0 for the best, else negative."""
        cameras = (_directions(float(pitch)) for pitch in pitches)
        found = np.stack([self.likelihood(camera, focals) for camera in cameras])
        return np.maximum(found - found.max(), -MOST_AGAINST)


def seen_by_lines(
    photo: np.ndarray,
    labels: np.ndarray,
    pitch: float,
    focal: float,
    is_known: bool = False,
) -> tuple[float, float]:
    """Pitch (radians) and focal length (longer sides) as the network and the lines of a photo
    (H, W, 3) with labels (H, W) have them: the mean over all cameras that are tried. ``is_known``:
    the focal length is right.
    """
    pitches = pitch + PITCHES
    steps = np.zeros(1) if is_known else FOCALS
    focals = (focal * np.exp(steps)).astype(np.float32)
    unlikely = (PITCHES[:, None] / PITCH_ERROR) ** 2 + (steps / FOCAL_ERROR) ** 2
    belief = -0.5 * unlikely
    for label, segments in _segments(photo, labels):
        weight = OF_OBJECT if label else OF_SURROUNDINGS
        belief = belief + weight * segments.votes(pitches, focals)
    share = np.exp(belief - belief.max())
    share /= share.sum()
    turned = float(share.sum(1) @ PITCHES)
    longer = float(share.sum(0) @ steps)
    return pitch + turned, focal * float(np.exp(longer))


def _directions(pitch: float) -> np.ndarray:
    """(1 + 2 Y, 3) the vertical, and the level directions of each yaw, in the axes of a camera."""
    cosine, sine = cos_and_sin(YAWS)
    level = np.zeros(len(YAWS))
    first = np.stack([cosine, level, sine], axis=1)
    second = np.stack([-sine, level, cosine], axis=1)
    directions = np.concatenate([[[0.0, 1.0, 0.0]], first, second])
    return (directions @ view_centric_rotation(pitch)).astype(np.float32)


def _segments(photo: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, LineSegments]]:
    """The longest segments of each object, and with label 0 those around the objects."""
    height, width = labels.shape
    scale = min(ENLARGED, WORKING / max(height, width))
    size = scaled_size((width, height), scale)
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    starts, ends = _detected(cv2.resize(photo, size, interpolation=smooth))
    if not len(starts):
        return
    middles = (starts + ends) / 2
    columns, rows = middles.astype(int).clip(0, np.array(size) - 1).T
    own = _owners(labels, size)[rows, columns]
    for label in np.unique(own):
        chosen = np.flatnonzero(own == label)[:MOST]
        if len(chosen) < LEAST:
            continue
        between = (ends - starts)[chosen]
        lengths = np.linalg.norm(between, axis=1)
        along = between / lengths[:, None]
        spread = np.hypot(CURVED, ENDS / lengths)
        placed = (middles[chosen] + 0.5 - np.array(size) / 2) / max(size)
        numbers = (part.astype(np.float32) for part in (placed, along, spread))
        yield int(label), LineSegments(*numbers)


def _detected(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends (N, 2) of the straight segments of a picture, the longest first (the line segment
    detector of von Gioi et al., 2010).
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    if found is None:
        return np.empty((0, 2)), np.empty((0, 2))
    starts, ends = np.split(found.reshape(-1, 4).astype(np.float64), 2, axis=1)
    lengths = np.linalg.norm(ends - starts, axis=1)
    order = np.argsort(-lengths, kind="stable")
    long = order[lengths[order] > SHORTEST]
    return starts[long], ends[long]


def _owners(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels (H, W) at another size (width, height), each grown by NEAR pixels."""
    small = cv2.resize(labels.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
    away, (rows, columns) = ndimage.distance_transform_edt(small == 0, return_indices=True)
    return np.where(away < NEAR, small[rows, columns], 0)
