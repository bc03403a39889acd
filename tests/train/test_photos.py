"""Samples of the image encoder: windows, letterbox, cuts and mirror images all speak of the same
picture.
"""

import numpy as np
import pytest
import torch

from maquette.data.catalogue import AssetList, Catalogue
from maquette.data.scenes import SceneConfig
from maquette.data.views import ViewConfig, boxes_in_scene
from maquette.models.relief import coarse_relief
from maquette.train.geometry import relief_errors, windows_of
from maquette.train.photos import (
    PhotoCut,
    PhotoWindow,
    SampleConfig,
    close_samples,
    geometry_sample,
    mirrored,
    random_cut,
)
from maquette.train.sources import RandomViews
from tests.train.worlds import solids

SIZE = 192


@pytest.fixture(scope="module")
def views():
    catalogue = Catalogue.of(AssetList(solids()))
    source = RandomViews(catalogue, SceneConfig(), ViewConfig(size=SIZE))
    made = [source(np.random.default_rng(k)) for k in range(6)]
    return [(view, boxes_in_scene(view, catalogue)) for view in made]


def batched(sample):
    return {name: value[None] for name, value in sample.items()}


@pytest.mark.parametrize("augment", [False, True])
def test_the_true_depth_of_the_picture_is_the_true_relief_of_its_windows(views, augment):
    """Letterbox, cuts and mirroring included: had a window been cut elsewhere, its relief would not
    be that of the picture.
    """
    errors = []
    spreads = []
    for k, (view, boxes) in enumerate(views):
        config = SampleConfig(SIZE, augment, close=64)
        batch = batched(geometry_sample(view, boxes, np.random.default_rng(k), config))
        truth = dict(batch, close_pictures=batch["close_pictures"].clone())
        truth["close_pictures"][:, :, 6] = batch["close_own"].float()
        relief = coarse_relief(batch["depth"], batch["camera"], batch["labels"], windows_of(truth))
        found = relief_errors(relief, batch["close_normal"], batch)
        flat = relief_errors(torch.zeros_like(relief), batch["close_normal"], batch)
        errors.append(float(found.value))
        spreads.append(float(flat.value))
        assert found.normal < 1e-5
    assert np.mean(errors) < 0.02 and np.mean(spreads) > 4 * np.mean(errors)


def test_mirroring_twice_changes_nothing(views):
    view, boxes = views[0]
    sample = geometry_sample(view, boxes, np.random.default_rng(0), SampleConfig(96, False, 32))
    once = mirrored(sample)
    twice = mirrored(mirrored(sample))
    assert set(once) == set(sample) and not torch.equal(
        once["close_places"], sample["close_places"]
    )
    for name, value in sample.items():
        torch.testing.assert_close(twice[name], value)


def test_windows_are_reproducible_and_of_objects_that_are_there(views):
    for view, boxes in views:
        one, two = (
            geometry_sample(view, boxes, np.random.default_rng(5), SampleConfig(96, close=32))
            for _ in range(2)
        )
        for name in one:
            assert torch.equal(one[name], two[name])
        for label, own in zip(one["close_labels"].tolist(), one["close_own"]):
            assert label == 0 or (label in one["labels"] and own.any())


def test_a_view_without_an_object_gets_windows_without_a_truth(views):
    view, _ = views[0]
    whole = PhotoWindow(PhotoCut(), (0.0, 0.0), float(SIZE))
    config = SampleConfig(SIZE, augment=False, close=32)
    sample = close_samples(view, whole, np.array([0]), np.random.default_rng(0), config)
    assert not sample["close_own"].any()
    assert not sample["close_labels"].any()
    assert np.isfinite(sample["close_depth"]).all()


def test_cuts_are_symmetric_and_leave_the_objects_nearly_whole():
    labels = np.zeros((100, 80), int)
    labels[30:90, 10:60] = 1
    cuts = [random_cut(labels, np.random.default_rng(k)) for k in range(200)]
    assert any(cut == PhotoCut() for cut in cuts)
    assert max(cut.rows for cut in cuts) == 10 + 5  # what is free, and a twentieth of the side
    assert max(cut.columns for cut in cuts) == 10 + 4
    for cut in cuts:
        assert cut.rows == 0 or cut.columns == 0
        part = cut.of(labels)
        assert part.shape == (100 - 2 * cut.rows, 80 - 2 * cut.columns)
        assert cut.enlarges(labels.shape) == 100 / max(part.shape)
