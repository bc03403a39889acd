"""MIDI's 3D-FRONT, as a tiny synthetic copy of its layout."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from maquette.errors import InputError
from maquette.evaluate.protocols import RAW
from maquette.evaluate.readers import sources_of
from maquette.evaluate.readers.front import MOST_OBJECTS, front_sources, surfels
from maquette.evaluate.score import score_scene
from tests.cli.test_evaluate import write as write_glb

NAMES = ("Table_e9b6f54f_1", "Chair_aa_2", "Lamp_bb_3")


def write(root, rooms=3, objects=NAMES, surfaces=False, size=128):
    """Rooms whose k-th object is a box at x = k and a column of the id picture."""
    ids = [f"house-{k}/Bedroom-{k}" for k in range(rooms)]
    (root / "midi_room_ids.json").write_text(json.dumps(ids))
    (root / "midi_furniture_ids.json").write_text(json.dumps([list(objects)] * rooms))
    for room in ids:
        renders = root / "3D-FRONT-RENDER" / room
        renders.mkdir(parents=True)
        semantic = np.zeros((size, size), np.uint8)
        for k in range(len(objects)):
            semantic[20:100, 10 * k + 2 : 10 * k + 9] = k + 1
        Image.fromarray(semantic).save(renders / "semantic_0000.png")
        rgba = np.dstack(
            [
                np.full((size, size, 3), 60, np.uint8),
                np.where(semantic > 0, 255, 0).astype(np.uint8),
            ]
        )
        Image.fromarray(rgba, "RGBA").save(renders / "render_0000.webp", lossless=True)
        folder = root / ("3D-FRONT-SURFACE" if surfaces else "3D-FRONT-SCENE") / room
        folder.mkdir(parents=True)
        for k, name in enumerate(objects):
            box = trimesh.creation.box((0.5, 0.4, 0.3)).apply_translation((k, 0.2, 0))
            if surfaces:
                points, face = trimesh.sample.sample_surface(box, 4000, seed=k)
                np.save(
                    folder / f"{name}.npy",
                    {
                        "surface_points": np.asarray(points),
                        "surface_normals": box.face_normals[face],
                    },
                )
            else:
                write_glb({"geometry_0": box}, folder / f"{name}.glb")


def test_rooms_objects_and_pictures_belong_together(tmp_path):
    write(tmp_path)
    sources = sources_of(tmp_path, "midi-3dfront")
    assert [s.name for s in sources] == [f"3d-front/house-{k}/Bedroom-{k}" for k in range(3)]
    case = sources[0].load()
    assert case.set == "3d-front" and case.scene_input.image.shape == (512, 512, 3)
    assert case.scene_input.image[0, 0].tolist() == [255, 255, 255] and case.scene_input.image[
        200, 20
    ].tolist() == [60, 60, 60]
    assert [(m.label, m.name) for m in case.scene_input.masks] == [
        (1, "table"),
        (2, "chair"),
        (3, "lamp"),
    ]
    centres = [case.truth[f"instance_{k}"].bounds.mean(0)[0] for k in (1, 2, 3)]
    assert centres == sorted(centres) and case.camera is None


def test_the_last_rooms_are_the_test(tmp_path):
    write(tmp_path, rooms=5)
    assert [s.name for s in front_sources(tmp_path, last=2)] == [
        "3d-front/house-3/Bedroom-3",
        "3d-front/house-4/Bedroom-4",
    ]


def test_small_objects_are_dropped_and_seven_drawn(tmp_path):
    write(tmp_path, rooms=1, objects=[f"Thing_x_{k}" for k in range(1, 11)])
    semantic = tmp_path / "3D-FRONT-RENDER" / "house-0" / "Bedroom-0" / "semantic_0000.png"
    ids = np.asarray(Image.open(semantic)).copy()
    ids[ids == 2] = 0
    ids[0, :4] = 2  # 4 of 16,384 pixels: less than a thousandth
    Image.fromarray(ids).save(semantic)
    (source,) = sources_of(tmp_path, "midi-3dfront")
    first = source.load()
    second = source.load()
    labels = [m.label for m in first.scene_input.masks]
    assert (
        len(labels) == MOST_OBJECTS
        and 2 not in labels
        and labels == [m.label for m in second.scene_input.masks]
    )


def test_surfaces_stand_in_for_meshes(tmp_path):
    write(tmp_path, rooms=1, surfaces=True)
    (source,) = sources_of(tmp_path, "midi-3dfront")
    case = source.load()
    solid = {
        f"instance_{k + 1}": trimesh.creation.box((0.5, 0.4, 0.3)).apply_translation((k, 0.2, 0))
        for k in range(3)
    }
    from_mesh = {
        name: mesh.apply_translation((-1.0, -0.2, 0)).apply_scale(1 / 2.5)
        for name, mesh in solid.items()
    }
    score = score_scene(from_mesh, case.truth, RAW)
    assert score.f_s == pytest.approx(100) and score.iou_b > 0.98 and score.cd_s < 1e-3


def test_surfels_have_one_area_and_lie_where_the_points_are():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    mesh = surfels(rng.normal(size=(50, 3)), normals)
    assert (
        np.ptp(mesh.area_faces) < 1e-9
        and np.abs(np.abs((mesh.face_normals * normals).sum(1)) - 1).max() < 1e-4
    )


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda root: (root / "midi_room_ids.json").unlink(), "no such file"),
        (lambda root: (root / "midi_furniture_ids.json").write_text("[]"), "at least one entry"),
        (lambda root: (root / "midi_furniture_ids.json").write_text("[[]]"), "3 rooms"),
        (
            lambda root: (root / "3D-FRONT-SCENE/house-0/Bedroom-0/Chair_aa_2.glb").unlink(),
            "no such file, nor",
        ),
    ],
)
def test_damaged_data_are_named(tmp_path, spoil, message):
    write(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError, match=message):
        sources_of(tmp_path, "midi-3dfront")[0].load()
