import numpy as np
import pytest
import trimesh

from maquette.document.appearance import vertex_colors_of
from maquette.document.scene_json import load
from maquette.errors import InputError, OutputError
from maquette.export import export_scene
from maquette.geometry.transforms import similarity, transform_points
from tests.document.scenes import make_scene


def world(scene, instance):
    return (scene.metres_per_unit or 1.0) * transform_points(
        instance.world_from_instance, np.asarray(instance.mesh.vertices)
    )


def obj_objects(path):
    """Independent OBJ reader: name -> (vertices with colours, faces counted from the object's own
    first vertex).
    """
    objects = {}
    count = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if word == "o":
            rows = []
            faces = []
            start = count
            objects[rest] = (rows, faces)
        elif word == "v":
            rows.append([float(x) for x in rest.split()])
            count += 1
        elif word == "f":
            faces.append([int(x.split("/")[0]) - 1 - start for x in rest.split()])
    return {name: (np.array(rows), np.array(faces)) for name, (rows, faces) in objects.items()}


def test_obj_has_named_objects_in_the_world(tmp_path):
    scene = make_scene(metres_per_unit=2.0)
    objects = obj_objects(scene.export(tmp_path / "my room.obj"))
    assert list(objects) == ["instance_1", "crate \u00e9", "instance_12"]
    for instance in scene.instances:
        rows, faces = objects[instance.node_name]
        np.testing.assert_allclose(rows[:, :3], world(scene, instance), atol=1e-8)
        np.testing.assert_array_equal(faces, instance.mesh.faces)
    for label in (1, 3):
        colors = objects[scene[label].node_name][0][:, 3:] * 255
        np.testing.assert_allclose(colors, scene[label].mesh.visual.vertex_colors[:, :3], atol=0.5)


def test_obj_texture_through_trimesh(tmp_path):
    scene = make_scene(instances=(make_scene()[12],))
    mesh = trimesh.load_mesh(scene.export(tmp_path / "s.obj"), process=False)
    np.testing.assert_array_equal(
        mesh.visual.material.image, scene[12].mesh.visual.material.baseColorTexture
    )
    np.testing.assert_allclose(mesh.visual.uv, scene[12].mesh.visual.uv)


def test_ply_is_the_whole_scene_with_colours(tmp_path):
    scene = make_scene()
    mesh = trimesh.load_mesh(scene.export(tmp_path / "s.ply"), process=False)
    np.testing.assert_allclose(
        mesh.vertices, np.concatenate([world(scene, i) for i in scene.instances]), atol=1e-7
    )
    np.testing.assert_array_equal(
        mesh.visual.vertex_colors,
        np.concatenate([vertex_colors_of(i.mesh) for i in scene.instances]),
    )
    assert mesh.area == pytest.approx(
        sum(i.mesh.area * (0.7 if i.label == 1 else 1) ** 2 for i in scene.instances), rel=1e-5
    )


def test_stl_has_the_volume_of_the_scene_even_when_mirrored(tmp_path):
    ball = make_scene()[1]
    for pose in (ball.world_from_instance, similarity(1.0, np.diag([1.0, -1.0, 1.0]))):
        scene = make_scene(instances=(ball,)).transform(1, pose)
        mesh = trimesh.load_mesh(scene.export(tmp_path / "s.stl"))
        assert mesh.volume == pytest.approx(ball.mesh.volume * abs(np.linalg.det(pose)), rel=1e-5)
        np.testing.assert_allclose((mesh.triangles_cross * mesh.face_normals).sum(1) > 0, True)


def test_empty_scene_in_every_format(tmp_path):
    scene = make_scene(instances=())
    for suffix in ("glb", "obj", "ply", "stl", "json"):
        assert scene.export(tmp_path / f"s.{suffix}").stat().st_size > 0


def test_several_formats_and_determinism(tmp_path):
    for folder in ("a", "b"):
        assert (
            export_scene(
                make_scene(), tmp_path / folder / "s", formats=["obj", ".PLY", "stl", "glb", "json"]
            ).name
            == "s.obj"
        )
    names = sorted(f.name for f in (tmp_path / "a").iterdir())
    assert names == [
        "s.glb",
        "s.json",
        "s.mtl",
        "s.obj",
        "s.ply",
        "s.stl",
        "s_files",
        "s_instance_12.png",
    ]
    for name in names:
        if (tmp_path / "a" / name).is_file():
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert [i.label for i in load(tmp_path / "a" / "s.json").instances] == [1, 3, 12]


def test_separate_files_stand_in_their_places(tmp_path):
    scene = make_scene().rename(12, "Crate \u00e9")
    folder = export_scene(scene, tmp_path / "s.glb", formats=["glb", "ply"], separate=True)
    assert sorted(f.name for f in folder.glob("*.ply")) == [
        "Crate_\u00e9_12.ply",
        "crate_\u00e9.ply",
        "instance_1.ply",
    ]
    assert len(list(folder.glob("*.glb"))) == 3 and not (tmp_path / "s.glb").exists()
    np.testing.assert_allclose(
        trimesh.load_mesh(folder / "instance_1.ply", process=False).vertices,
        world(scene, scene[1]),
        atol=1e-7,
    )
    assert trimesh.load_scene(folder / "instance_1.glb").bounds == pytest.approx(
        scene[1].box, abs=1e-6
    )


def test_wrong_requests(tmp_path):
    with pytest.raises(InputError, match=r"'\.fbx'.*\.glb, \.obj, \.ply, \.stl, \.html, \.json"):
        make_scene().export(tmp_path / "s.fbx")
    with pytest.raises(InputError, match="'usd'"):
        make_scene().export(tmp_path / "s", formats=["usd"])
    with pytest.raises(InputError, match="no format"):
        make_scene().export(tmp_path / "s", formats=[])
    with pytest.raises(InputError, match="separate"):
        make_scene().export(tmp_path / "s.json", separate=True)
    (tmp_path / "s.glb").write_text("precious")
    with pytest.raises(OutputError, match="overwrite"):
        make_scene().export(tmp_path / "s.glb", overwrite=False)
    assert (tmp_path / "s.glb").read_text() == "precious"
