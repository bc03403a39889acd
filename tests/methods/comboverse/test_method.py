"""ComboVerse end to end on tiny weights and a prior by formula: starts over the masks, ends no
worse, repeats; switches switch.
"""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch

from maquette.errors import InputError
from maquette.geometry.boxes import pixel_box
from maquette.geometry.transforms import transform_points
from maquette.methods.base import PlacedMesh, Sampling, Watch
from maquette.methods.comboverse.alone import lighter
from maquette.methods.comboverse.arrange import parts_from_meshes
from maquette.methods.comboverse.complete import NOT_PAINTED
from maquette.methods.comboverse.method import (
    COMBOVERSE,
    LAYOUTS,
    ComboVerseModels,
    ComboVerseOptions,
    comboverse,
    distillation,
    first_stage,
    second_stage,
)
from maquette.stages.viewpoint import projected_box
from tests.methods.worlds import result, world
from tests.priors import FormulaPrior
from tests.tiny import smooth_geometry

FAST = Sampling(steps=1, zoom_steps=1)
QUICK = {"iterations": 3, "views": 1, "faces": 200, "guidance": 5.0}


@cache
def networks(painting=True):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        geometry = smooth_geometry()
    return ComboVerseModels(
        geometry, world().models.generator, world().models.vae, FormulaPrior() if painting else None
    )


@cache
@torch.inference_mode()
def thing(label, painting=True, seed=0):
    sampling = dataclasses.replace(FAST, seed=seed)
    return first_stage(networks(painting), world().perception, label, sampling, True)


def remembered(models, perception, label, sampling, fit):
    """Instead of the first stage, which is the dear one and the same whatever the layout."""
    return thing(label, models.prior is not None, sampling.seed)


@cache
def run(labels=(1, 2), seed=0, painting=True, sees=lambda shape: None, fresh=False, **options):
    """What the method makes; ``fresh``: also of the first stage nothing is remembered."""
    sampling = dataclasses.replace(FAST, seed=seed)
    method = comboverse(**QUICK | options)
    with pytest.MonkeyPatch.context() as patch:
        if not fresh:
            patch.setattr("maquette.methods.comboverse.method.first_stage", remembered)
        return result(method.make, networks(painting), labels, sampling, sees=sees)


def things():
    return [thing(label) for label in (1, 2)]


def arranged(layout, prompt="a lamp on a box"):
    options = ComboVerseOptions(layout, prompt=prompt, **QUICK)
    return second_stage(networks().prior, world().perception, things(), 0, options, Watch())


def test_without_iterations_the_layout_is_the_start_to_the_bit():
    for settings in (
        {"layout": "none"},
        {"layout": "ssds", "iterations": 0},
        {"layout": "depth", "iterations": 0},
    ):
        for shape in run(**settings).shapes:
            assert np.array_equal(shape.state["place"], shape.state["start"])


def test_every_object_starts_over_the_box_of_its_mask_without_rotation():
    for shape in run(layout="none", painting=False).shapes:
        box = np.array(pixel_box(world().perception.label_map == shape.label))
        seen = projected_box(world().perception.camera, np.asarray(shape.mesh.vertices))
        np.testing.assert_allclose(seen[:2] + seen[2:], box[:2] + box[2:], atol=1)
        # the start is found on a lighter copy, whose outline is off by a part of a pixel
        assert (seen[2:] - seen[:2]).max() == pytest.approx((box[2:] - box[:2]).max(), abs=1.5)
        np.testing.assert_allclose(
            shape.state["start"][:3, :3], shape.state["start"][0, 0] * np.eye(3), atol=1e-9
        )


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_the_reference_loss_never_ends_above_its_start(layout):
    from maquette.methods.comboverse.arrange import (
        ArrangeOptions,
        arrange,
        placements_from,
        reference_view,
    )
    from maquette.types import InstanceMask, SceneInput

    w = world()
    places = arranged(layout, "a red box")
    start = np.stack([thing.start for thing in things()])
    # the layout is judged on the lighter meshes that it was made with
    parts = parts_from_meshes(
        [lighter(thing.alone.mesh, ComboVerseOptions.faces) for thing in things()]
    )
    masks = tuple(InstanceMask(label, w.perception.label_map == label) for label in (1, 2))
    reference = reference_view(SceneInput(w.perception.photo, masks), [1, 2], w.perception.camera)
    before, after = (
        arrange(parts, placements_from(parts, at), reference, ArrangeOptions(0)).first
        for at in (start, places)
    )
    assert after <= 1.03 * before


def test_the_same_seed_gives_the_same_scene_and_another_one_another():
    a = run()
    b = run(fresh=True)
    c = run((1,), seed=1, layout="none")
    for x, y in zip(a.shapes, b.shapes):
        assert np.array_equal(x.mesh.vertices, y.mesh.vertices) and np.array_equal(
            x.state["place"], y.state["place"]
        )
    assert a.decided == b.decided and not np.array_equal(
        a.shapes[0].mesh.vertices, c.shapes[0].mesh.vertices
    )


def test_plain_sds_is_ssds_with_gain_one(monkeypatch):
    def gain():
        options = ComboVerseOptions("ssds", prompt="a lamp on a box", **QUICK)
        return distillation(networks().prior, None, 0, options).gain

    plain, aware = arranged("sds"), arranged("ssds")
    assert gain().max() == 25
    monkeypatch.setattr("maquette.methods.comboverse.distil.GAIN", 1.0)
    assert np.array_equal(arranged("ssds"), plain) and gain().eq(1).all()
    assert plain.shape == aware.shape == (2, 4, 4)


def test_one_object_alone_works_and_is_the_same_before_the_layout():
    alone = run((2,), layout="none", fresh=True).shapes
    both = run(layout="none").shapes
    assert [s.label for s in alone] == [2] and np.array_equal(
        alone[0].mesh.vertices, both[1].mesh.vertices
    )
    assert len(run((2,)).shapes) == 1 and run((2,)).decided["prompt"].startswith("a")


def test_an_object_without_pixels_fails_alone():
    outcome = run((1, 9), layout="none")
    assert [s.label for s in outcome.shapes] == [1] and [f.label for f in outcome.failures] == [9]
    assert run((9,)).shapes == ()


def test_remaking_keeps_the_place_and_the_same_seed_makes_the_same():
    shape = run(layout="depth").shapes[1]
    with torch.inference_mode():
        same, other = (
            COMBOVERSE.remake(
                networks(), world().perception, 2, shape.state, dataclasses.replace(FAST, seed=seed)
            )
            for seed in (0, 5)
        )
    assert isinstance(same, PlacedMesh) and np.array_equal(same.mesh.vertices, shape.mesh.vertices)
    assert not np.array_equal(other.mesh.vertices, shape.mesh.vertices)
    np.testing.assert_allclose(other.mesh.bounds.mean(0), shape.mesh.bounds.mean(0), atol=0.2)


def test_without_a_prior_what_may_be_hidden_is_said_and_distillation_refused():
    warned = [
        shape
        for shape in run(layout="depth", painting=False).shapes
        if shape.warnings == (NOT_PAINTED,)
    ]
    assert warned and not any(shape.warnings for shape in run(layout="depth").shapes)
    with pytest.raises(InputError, match="layout depth or none"):
        run(painting=False)


def test_who_looks_sees_each_object_first_where_it_starts_and_last_where_it_stands(monkeypatch):
    monkeypatch.setattr("maquette.methods.comboverse.method.SHOW_SECONDS", -1.0)
    seen = []
    outcome = run(sees=seen.append, iterations=11)
    assert [s.label for s in seen] == [1, 2] * 3  # at the start, after ten iterations, at the end
    for first, last, shape in zip(seen[:2], seen[-2:], outcome.shapes):
        assert np.array_equal(first.state["place"], first.state["start"]) and last is shape
        np.testing.assert_allclose(
            np.asarray(shape.mesh.vertices)[:3],
            transform_points(shape.state["place"], np.asarray(_alone(shape).vertices, float))[:3],
        )


def _alone(shape):
    return thing(shape.label).alone.mesh


@pytest.mark.parametrize(
    "wrong",
    [{"layout": "magic"}, {"iterations": -1}, {"views": 0}, {"reach": 0.0}, {"prompt": "  "}],
)
def test_wrong_options_say_what_is_right(wrong):
    with pytest.raises(InputError):
        comboverse(**wrong)


def test_the_kinds_of_weights_follow_from_the_layout():
    assert "text-to-image" in COMBOVERSE.kinds and COMBOVERSE.optional == ()
    assert comboverse(layout="depth").kinds == COMBOVERSE.kinds[:3] and comboverse(
        layout="none"
    ).optional == ("text-to-image",)
    record = run(prompt="a lamp on a box", layout="none").decided
    assert record == {"prompt": "a lamp on a box", "layout": "none", "iterations": 3, "views": 1}
    assert dataclasses.asdict(ComboVerseOptions())["layout"] == "ssds"


def test_an_outline_tells_no_shape_that_the_photo_was_not_asked_for(monkeypatch):
    shape = run(layout="depth").shapes[1]  # of a perception without known shapes
    asked = []
    monkeypatch.setattr(
        "maquette.stages.perceive.known_shapes", lambda *photo: asked.append(photo) or {}
    )
    with torch.inference_mode():
        made = COMBOVERSE.remake(networks(), world().perception, 2, shape.state, FAST)
    assert made.label == 2 and not asked
