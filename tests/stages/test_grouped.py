"""Votes for middles, on labels whose middles are known."""

import numpy as np
import torch

from maquette.stages.grouped import grouped
from maquette.train.mask_losses import ways_to_middles

CELLS = 112


def disc(labels, label, row, column, radius):
    rows, columns = np.mgrid[:CELLS, :CELLS]
    labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = label


def found(labels, noise=0.0):
    """What is grouped of labels (C, C) that are seen with some noise in the ways to the middles."""
    ways = ways_to_middles(torch.from_numpy(labels)[None])[0].numpy()
    ways = ways + np.random.default_rng(0).normal(0, noise, ways.shape)
    return grouped(np.where(labels > 0, 4.0, -4.0).astype(np.float32), ways)


def same(planes, labels):
    """Whether each plane is one label, largest first, and all labels are there."""
    areas = np.bincount(labels.ravel())[1:]
    order = 1 + np.argsort(-areas)
    return len(planes) == len(areas) and all(
        np.mean((plane > 0.5) == (labels == label)) > 0.99 for plane, label in zip(planes, order)
    )


def scene():
    """A large object, one that touches it, one in front of it, and a small one apart."""
    labels = np.zeros((CELLS, CELLS), int)
    disc(labels, 1, 50, 45, 30)
    disc(labels, 2, 50, 90, 15)
    disc(labels, 3, 24, 40, 7)
    disc(labels, 4, 100, 12, 3)
    return labels


def test_every_object_is_one_plane():
    assert same(found(scene()), scene())


def test_votes_may_scatter():
    assert same(found(scene(), noise=0.01), scene())


def test_the_ways_are_those_to_the_mean_place():
    labels = np.zeros((CELLS, CELLS), int)
    disc(labels, 1, 30, 60, 9)
    ways = ways_to_middles(torch.from_numpy(labels)[None])[0].numpy()
    assert np.allclose(ways[:, 30, 60], 0, atol=1e-6)
    assert np.allclose(ways[:, 30, 55] * CELLS, [5, 0], atol=1e-4)
    assert np.allclose(ways[:, 0, 0], 0)


def test_nothing_is_no_object():
    nothing = np.full((CELLS, CELLS), -3.0, np.float32)
    assert grouped(nothing, np.zeros((2, CELLS, CELLS))) == []
    nothing[5, 5] = 3  # a speck
    assert grouped(nothing, np.zeros((2, CELLS, CELLS))) == []
