"""The whole story on tiny weights: reproducible, editable, and honest about what it did."""

import dataclasses

import numpy as np
import pytest

import maquette
from maquette.checkpoints.embedded import load_models
from maquette.document.appearance import appearance_of, vertex_colors_of
from maquette.errors import InputError, MissingExtraError
from maquette.masks import read_masks
from maquette.pipeline import METHODS, Options, generate, imagine, regenerate
from maquette.types import Focal
from tests.tiny import save_tiny_weights, write_photo

pytestmark = pytest.mark.usefixtures("coarse_fields")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return load_models(save_tiny_weights(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return write_photo(tmp_path_factory.mktemp("photo"), objects=3)


@pytest.fixture(scope="module")
def scene(models, photo):
    return generate(*photo, models=models, steps=2)


def same(a, b):
    def parts(instance):
        appearance = appearance_of(instance.mesh)
        picture = np.zeros(0) if appearance.image is None else np.asarray(appearance.image)
        return (
            instance.mesh.vertices,
            instance.mesh.faces,
            appearance.uv,
            picture,
            vertex_colors_of(instance.mesh),
            instance.world_from_instance,
            instance.seed,
        )

    return all(np.array_equal(x, y) for x, y in zip(parts(a), parts(b)))


def test_the_same_call_gives_the_same_scene_bit_for_bit(scene, models, photo):
    again = generate(*photo, models=models, steps=2)
    assert len(scene.instances) == 3 and all(
        same(a, b) for a, b in zip(scene.instances, again.instances)
    )
    np.testing.assert_array_equal(scene.camera.world_from_camera, again.camera.world_from_camera)


def test_every_instance_stands_centred_on_itself_with_a_confidence(scene):
    for instance in scene.instances:
        np.testing.assert_allclose(instance.mesh.bounds.mean(0), 0, atol=1e-6)
        assert 0 <= instance.confidence <= 1
        assert len(vertex_colors_of(instance.mesh)) == len(instance.mesh.vertices)
        np.testing.assert_array_equal(instance.world_from_instance[:3, :3], np.eye(3))
    assert scene.ground_height == min(i.box[0, 1] for i in scene.instances)
    boxes = np.concatenate([i.box for i in scene.instances])  # the scene frame's convention
    assert np.ptp(boxes, axis=0).max() == pytest.approx(1.0, abs=1e-6)
    assert np.abs(boxes.max(0) + boxes.min(0)).max() < 1e-6


def test_provenance_says_how_it_was_made(scene):
    p = scene.provenance
    assert (
        p["method"] == "iscene"
        and p["maquette"] == maquette.__version__
        and p["options"]["steps"] == 2
    )
    assert (
        set(p["checkpoint"]["sha256"]) == {"image-encoder", "generator", "volume-vae"}
        and p["seconds"]["sample"] > 0
    )
    assert p["tries"] == [
        {
            "seed": 0,
            "score": pytest.approx(np.mean([i.confidence for i in scene.instances]), abs=1e-4),
            "kept": True,
        }
    ]


def test_settling_is_the_scenes_own_and_counts_as_a_stage(models, photo, scene, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    settled = []
    monkeypatch.setattr(maquette.Scene, "settle", lambda self, shown: settled.append(self) or self)
    made = generate(*photo, models=models, steps=2, settle=True)
    assert len(settled) == 1 and "settle" in made.provenance["seconds"]
    assert made.provenance["options"]["settle"] is True
    assert all(same(a, b) for a, b in zip(scene.instances, made.instances))


@pytest.mark.parametrize(
    "raised", [RuntimeError("inertia must satisfy A + B >= C"), InputError("x")]
)
def test_a_scene_that_cannot_be_settled_is_not_lost(photo, models, monkeypatch, raised):
    def settle(scene, progress):
        raise raised

    monkeypatch.setattr(maquette.Scene, "settle", settle)
    made = generate(*photo, models=models, steps=2, settle=True)
    assert made.instances and str(raised) in made.input.warnings[-1]


def test_what_cannot_rest_is_said(photo, models, monkeypatch):
    rows = [
        {"node": "chair", "rests": True, "remark": "its underside was moved"},
        {"node": "lamp", "rests": False, "remark": "it would fall over"},
    ]

    def settle(scene, progress):
        return dataclasses.replace(scene, provenance=scene.provenance | {"settled": rows})

    monkeypatch.setattr(maquette.Scene, "settle", settle)
    made = generate(*photo, models=models, steps=2, settle=True)
    assert made.input.warnings[-1] == "lamp: it would fall over"
    assert not any("chair" in warning for warning in made.input.warnings)


def test_settling_without_its_extra_is_said_before_any_work(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs mujoco.*pip install 'maquette\[sim\]'"):
        generate("not-there.jpg", "not-there.png", settle=True)


def test_a_field_of_view_from_the_user_goes_before_the_photos_own(models, photo, scene, tmp_path):
    assert scene.provenance["focal"] == "estimated" and scene.input.focal is None
    given = generate(*photo, models=models, steps=2, fov=40.0)
    camera = given.camera
    assert 2 * np.degrees(
        np.arctan(0.5 * camera.height / camera.intrinsics[1, 1])
    ) == pytest.approx(40.0)
    assert given.provenance["focal"] == "given, 40 degrees"
    back = maquette.load(given.export(tmp_path / "scene.json"))
    assert back.input.focal == given.input.focal
    told = dataclasses.replace(given.input, focal=Focal(1.3, "EXIF"))
    assert generate(told, models=models, steps=2).provenance["focal"] == "EXIF"
    assert generate(told, models=models, steps=2, fov="estimate").provenance["focal"] == "estimated"


def test_regenerating_one_instance_leaves_the_others_and_its_place(scene, models):
    moved = scene.move(2, (0.1, 0.0, 0.05))
    new = regenerate(moved, 2, seed=7, models=models, steps=2)
    assert all(new[label].mesh is moved[label].mesh for label in (1, 3))
    np.testing.assert_array_equal(new[2].world_from_instance, moved[2].world_from_instance)
    assert new[2].seed != scene[2].seed
    back = regenerate(scene, 1, seed=0, models=models, steps=2)
    assert same(back[1], scene[1])  # the seed of the first time makes the same object again


def test_how_an_object_came_to_rest_is_not_said_of_the_next_one(scene, models):
    rows = [{"label": label} for label in (1, 2, 3)]
    settled = dataclasses.replace(scene, provenance=scene.provenance | {"settled": rows})
    new = regenerate(settled, 2, seed=7, models=models, steps=2)
    assert [row["label"] for row in new.provenance["settled"]] == [1, 3]
    assert "settled" not in regenerate(scene, 2, seed=7, models=models, steps=2).provenance


def test_a_loaded_scene_regenerates_like_the_one_in_memory(scene, models, tmp_path):
    scene.export(tmp_path / "scene.json")
    loaded = maquette.load(tmp_path / "scene.json")
    a, b = (regenerate(s, 3, seed=5, models=models, steps=2) for s in (scene, loaded))
    assert same(a[3], b[3])


def test_of_several_tries_the_best_is_kept_and_all_are_listed(models, photo):
    scene = generate(*photo, models=models, steps=1, samples=3, seed=4)
    tries = scene.provenance["tries"]
    assert [t["seed"] for t in tries] == [4, 5, 6] and sum(t["kept"] for t in tries) == 1
    assert max(tries, key=lambda t: t["score"])["kept"] or len({t["score"] for t in tries}) < 3


def test_only_makes_only_these(models, photo, scene):
    alone = generate(*photo, models=models, steps=2, only=[2])
    assert [i.label for i in alone.instances] == [2] and alone[2].seed == scene[2].seed


def test_arrays_do_as_well_as_files(models, photo, scene):
    from maquette.masks import read_masks
    from maquette.photos import read_image

    again = generate(read_image(photo[0]), read_masks(photo[1]), models=models, steps=2)
    assert all(same(a, b) for a, b in zip(scene.instances, again.instances))


def test_without_fit_the_generator_stands_alone(models, photo, scene):
    raw = generate(*photo, models=models, steps=2, fit=False)
    assert not same(raw.instances[0], scene.instances[0])


@pytest.mark.parametrize(
    "wrong",
    [{"method": "magic"}, {"samples": 0}, {"steps": 0}, {"seed": -1}, {"fov": 0}, {"fov": "wide"}],
)
def test_wrong_options_say_what_is_right(wrong):
    with pytest.raises(InputError):
        Options(**wrong)


def test_a_scene_without_its_photo_cannot_regenerate(scene, models):
    with pytest.raises(InputError, match="generate it again"):
        regenerate(dataclasses.replace(scene, input=None), 1, seed=1, models=models)


def test_progress_reaches_every_stage(models, photo):
    seen = []
    generate(*photo, models=models, steps=2, progress=lambda stage, share: seen.append(stage))
    assert {"perceive", "scene", "objects"} <= set(seen)


def test_a_method_from_outside_runs_is_named_and_remakes(models, photo):
    mine = dataclasses.replace(METHODS["independent"], name="mine")
    scene = generate(*photo, models=models, steps=2, method=mine)
    assert scene.provenance["method"] == scene.provenance["options"]["method"] == "mine"
    assert (
        regenerate(scene, 1, seed=3, models=models, steps=2, method=mine)[1].seed != scene[1].seed
    )
    with pytest.raises(InputError, match="unknown method 'mine'"):
        regenerate(scene, 1, seed=3, models=models, steps=2)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_makes_a_scene_from_its_own_weights_and_remakes_it(method, models, photo):
    own = {"iterations": 2} if method == "comboverse" else {}
    scene = generate(*photo, models=models, steps=2, method=method, only=[1, 3], **own)
    assert {i.label for i in scene.instances} | {f.label for f in scene.failures} == {1, 3}
    assert set(scene.provenance["checkpoint"]["sha256"]) == {
        "image-encoder",
        *METHODS[method].kinds,
    }
    label = scene.instances[0].label
    assert (
        same(regenerate(scene, label, seed=0, models=models, steps=2)[label], scene[label])
        or method == "coherent"
    )


def test_options_of_a_method_are_recorded_and_hold_when_an_object_is_made_again(
    models, photo, tmp_path
):
    drafts = []
    scene = generate(
        *photo,
        models=models,
        steps=1,
        method="comboverse",
        layout="depth",
        iterations=2,
        prompt="a red box",
        only=[1, 3],
        on_draft=drafts.append,
    )
    recorded = scene.provenance["options"]
    assert (recorded["prompt"], recorded["layout"], recorded["iterations"], recorded["method"]) == (
        "a red box",
        "depth",
        2,
        "comboverse",
    )
    assert len(drafts[0].instances) == 1 and len(drafts[-1].instances) == len(scene.instances)
    scene.export(tmp_path / "scene.json")
    again = regenerate(maquette.load(tmp_path / "scene.json"), 1, seed=9, models=models, steps=1)
    np.testing.assert_array_equal(again[1].world_from_instance, scene[1].world_from_instance)
    assert not same(again[1], scene[1]) and same(again[3], scene[3])


def test_scenes_can_be_imagined_without_a_photo(models, tmp_path):
    a, b, c = (imagine(3, seed=seed, models=models, steps=2) for seed in (0, 0, 1))
    assert len(a.instances) + len(a.failures) == 3 and all(
        same(x, y) for x, y in zip(a.instances, b.instances)
    )
    assert not all(same(x, y) for x, y in zip(a.instances, c.instances))
    assert (a.export(tmp_path / "imagined.glb")).stat().st_size > 1000 and a.provenance[
        "method"
    ] == "coherent"
    with pytest.raises(InputError, match="at least one object"):
        imagine(0, models=models)


def test_names_of_masks_become_nodes_and_go_through_every_file(models, photo, tmp_path):
    image, masks = photo
    named = [dataclasses.replace(m, name="cup" if m.label < 3 else "") for m in read_masks(masks)]
    made = generate(image, named, models=models, steps=2)
    nodes = {1: "cup", 2: "cup_2", 3: "instance_3"}
    assert {i.label: i.node_name for i in made.instances} == nodes
    assert regenerate(made, "cup_2", seed=5, models=models, steps=2)["cup_2"].label == 2
    for name in ("scene.json", "scene.glb"):
        again = maquette.load(made.export(tmp_path / name))
        assert {i.label: i.node_name for i in again.instances} == nodes
        assert [i.name for i in again.instances] == ["cup", "cup", ""]


def test_what_is_missing_or_unknown_is_said_with_what_is_right(photo, scene):
    for call, words in [
        (lambda: generate(*photo, sed=1), "did you mean 'seed'"),
        (lambda: scene.regenerate(1, seed=1, devise="cpu"), "did you mean 'device'"),
        (lambda: generate(*photo, seed="one"), "seed must be a whole number"),
    ]:
        with pytest.raises(InputError, match=words):
            call()
