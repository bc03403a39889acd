import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from maquette.data.assets import Asset, save_asset, weld
from maquette.data.importer import (
    MeshFile,
    find_meshes,
    import_folder,
    import_mesh,
    other_meshes,
)
from maquette.errors import InputError
from maquette.options.data import ImportOptions

pytest.importorskip("igl")
pytest.importorskip("fast_simplification")


def write(mesh: trimesh.Trimesh | trimesh.Scene, path) -> MeshFile:
    mesh.export(path)
    return MeshFile(path, path.stem)


def test_scene_graphs_are_flattened_and_normalised(tmp_path):
    scene = trimesh.Scene()
    for x, factor in ((0.0, [255, 0, 0, 255]), (3.0, [0, 255, 0, 255])):
        part = trimesh.creation.box((1, 1, 1))
        part.visual = TextureVisuals(material=PBRMaterial(baseColorFactor=factor))
        scene.add_geometry(part, transform=trimesh.transformations.translation_matrix([x, 5, 0]))
    asset = import_mesh(write(scene, tmp_path / "two.glb"))
    assert np.ptp(asset.vertices, axis=0) == pytest.approx([1.0, 0.25, 0.25])
    assert np.abs(asset.vertices.min(0) + asset.vertices.max(0)).max() < 1e-6
    assert (asset.colors[asset.vertices[:, 0] < 0] == (255, 0, 0)).all() and (
        asset.colors[asset.vertices[:, 0] > 0] == (0, 255, 0)
    ).all()


def test_z_up_files_are_turned_and_metric_ones_keep_their_size(tmp_path):
    mesh = trimesh.creation.cone(radius=0.5, height=2.0)  # its tip points along +z
    mesh.export(tmp_path / "cone.stl")
    asset = import_mesh(MeshFile(tmp_path / "cone.stl", "cone", metric=True, up="z"))
    assert np.hypot(*asset.vertices[asset.vertices[:, 1] > 0.45][:, [0, 2]].T).max() < 0.1
    assert asset.extent_metres == pytest.approx((1.0, 2.0, 1.0), abs=0.05)
    assert (
        trimesh.Trimesh(*weld(asset.vertices, asset.faces), process=False).volume > 0
    )  # a turn, not a reflection


def test_orientation_is_made_consistent(tmp_path):
    mesh = trimesh.creation.icosphere(2)
    turned = np.random.default_rng(0).random(len(mesh.faces)) < 0.5
    faces = np.where(turned[:, None], mesh.faces[:, ::-1], mesh.faces)
    asset = import_mesh(
        write(trimesh.Trimesh(mesh.vertices, faces, process=False), tmp_path / "ball.ply")
    )
    result = trimesh.Trimesh(*weld(asset.vertices, asset.faces), process=False)
    assert result.is_winding_consistent and result.volume == pytest.approx(
        mesh.volume / 8, rel=0.02
    )


def test_simplifying_keeps_shape_and_the_borders_of_a_pattern(tmp_path):
    mesh = trimesh.creation.box((1.0, 0.5, 0.5))
    for _ in range(6):
        mesh = mesh.subdivide()
    white = mesh.triangles_center[:, 0] > 0.2
    mesh.visual.face_colors = np.where(
        white[:, None], (240, 240, 240, 255), (20, 20, 20, 255)
    ).astype(np.uint8)
    mesh.export(tmp_path / "box.ply")
    asset = import_mesh(MeshFile(tmp_path / "box.ply", "box", face_budget=800))
    assert len(asset.faces) <= 800
    assert trimesh.Trimesh(
        *weld(asset.vertices, asset.faces), process=False
    ).volume == pytest.approx(0.25, rel=0.03)
    middle = asset.vertices[asset.faces].mean(1)[:, 0]
    shade = asset.colors[asset.faces].mean((1, 2))
    area = trimesh.Trimesh(asset.vertices, asset.faces, process=False).area_faces
    wrong = np.abs(shade - np.where(middle > 0.2, 240, 20)) > 60
    assert area[wrong].sum() / area.sum() < 0.08


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    trimesh.creation.icosphere(2).export(root / "ball.stl")
    trimesh.creation.box((1, 2, 3)).export(root / "sub" / "box.obj")
    box = trimesh.creation.box((1, 0.5, 0.5))
    tint = np.zeros((8, 3), np.uint8)
    save_asset(
        Asset("own", np.asarray(box.vertices, np.float32), np.asarray(box.faces, np.int32), tint),
        root / "own.npz",
    )
    (root / "empty.obj").write_text("")
    (root / "broken.glb").write_bytes(b"glTF and nothing else")
    (root / "zeros.stl").write_bytes(bytes(50))
    (root / "flat.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    (root / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (root / "manifest.csv").write_text("name,source,licence,extent_unit\nball,somebody,CC0-1.0,m\n")
    return root


def test_a_folder_becomes_a_library_and_bad_files_become_reasons(tmp_path, folder):
    report = import_folder(folder, tmp_path / "out")
    assert sorted(report.library.names) == ["ball", "own", "sub-box"]
    assert sorted(report.dropped) == ["broken", "empty", "flat", "nan", "zeros"]
    assert "no triangles" in report.dropped["empty"] and "area" in report.dropped["flat"]
    ball = report.library.asset(report.library.names.index("ball"))
    assert (ball.source, ball.licence) == (
        "somebody",
        "CC0-1.0",
    ) and ball.extent_metres == pytest.approx((2, 2, 2), abs=0.05)
    assert "3  imported" in report.table()
    assert "2  no face has an area (the first: flat)" in report.table()
    assert "1  it cannot be read as a mesh (broken)" in report.table()


def test_a_file_that_breaks_the_reader_or_the_cleaning_is_dropped(tmp_path, monkeypatch):
    def broken(*arguments):
        raise RecursionError("too deep")

    trimesh.creation.icosphere(1).export(tmp_path / "ball.stl")
    monkeypatch.setattr("maquette.data.importer.baked", broken)
    with pytest.raises(InputError, match=r"cannot be used as a mesh \(RecursionError: too deep\)"):
        import_mesh(MeshFile(tmp_path / "ball.stl", "ball"))


def test_what_a_mesh_names_is_looked_for_in_the_whole_folder_and_reported_when_missing(tmp_path):
    root = tmp_path / "in"
    (root / "model").mkdir(parents=True)
    Image.new("RGB", (4, 4), (30, 160, 60)).save(root / "wood.png")
    box = trimesh.creation.box((1, 1, 1))
    box.visual = TextureVisuals(uv=np.zeros((8, 2)), image=Image.new("RGB", (2, 2)))
    for name, texture in (("found", "..\\wood.png"), ("lost", "..\\oak.png")):
        box.export(root / "model" / f"{name}.obj", mtl_name=f"{name}.mtl")
        (root / "model" / f"{name}.mtl").write_text(f"newmtl material_0\nmap_Kd {texture}\n")
    report = import_folder(root, tmp_path / "out")
    assert report.incomplete == {"model-lost": "..\\oak.png is named but not there"}
    assert "1  of them incomplete; the first, model-lost: ..\\oak.png is named" in report.table()
    found = report.library.asset(report.library.names.index("model-found"))
    assert (found.colors == (30, 160, 60)).all()


def test_meshes_of_other_formats_are_counted(tmp_path, folder):
    for name in ("a.FBX", "b.dae", "sub/c.dae", "notes.txt"):
        (folder / name).write_text("")
    assert [path.name for path in other_meshes(folder)] == ["a.FBX", "b.dae", "c.dae"]
    table = import_folder(folder, tmp_path / "out").table()
    assert "3  left out: of other formats (.dae, .fbx); convert them to GLB" in table
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "a.fbx").write_text("")
    with pytest.raises(InputError, match=r"no meshes; .*; 1 of other formats \(\.fbx\)"):
        find_meshes(alone)


def test_wrong_requests_are_input_errors(tmp_path, folder):
    with pytest.raises(InputError, match="holds no meshes"):
        import_folder(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(InputError, match="up must be one of y, z"):
        import_folder(folder, tmp_path / "out", ImportOptions(up="x"))
    only_bad = tmp_path / "bad"
    only_bad.mkdir()
    (only_bad / "empty.obj").write_text("")
    with pytest.raises(InputError, match="none of the 1 meshes"):
        import_folder(only_bad, tmp_path / "out2")


def test_files_of_one_stem_get_names_of_their_own(tmp_path):
    for name in ("a.obj", "a.stl", "b.ply"):
        (tmp_path / name).write_text("")
    assert [file.name for file in find_meshes(tmp_path)] == ["a-obj", "a-stl", "b"]
