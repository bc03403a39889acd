"""Run lengths come back, and are those of the reference."""

import numpy as np

from maquette.masks.run_lengths import decode_rle, encode_rle


def _random_masks(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.random(rng.integers(1, 40, 2)) < rng.random()


def test_run_lengths_round_trip():
    for mask in [*_random_masks(200), np.zeros((5, 7), bool), np.ones((5, 7), bool)]:
        encoded = encode_rle(mask)
        assert (decode_rle(encoded["counts"], tuple(encoded["size"])) == mask).all()
        assert (decode_rle(encoded["counts"].encode(), tuple(encoded["size"])) == mask).all()


def test_run_lengths_are_those_of_the_reference_implementation():
    # Encoded with pycocotools: a 20 x 30 mask with the rectangle [3:12, 5:21] without the pixel [7,
    # 9].
    mask = np.zeros((20, 30), bool)
    mask[3:12, 5:21] = True
    mask[7, 9] = False
    assert encode_rle(mask) == {"size": [20, 30], "counts": "W39;000000KF0:500000000000000000000a5"}
    plain = [103, 9] + [11, 9] * 3 + [11, 4, 1, 4] + [11, 9] * 11 + [188]
    assert (decode_rle(plain, (20, 30)) == mask).all()
