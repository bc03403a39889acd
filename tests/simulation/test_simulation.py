"""Files for simulators: what other libraries read in them is what the scene has."""

import dataclasses
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from maquette.document.appearance import vertex_colors_of
from maquette.errors import InputError, OutputError
from maquette.geometry.transforms import similarity
from maquette.options import ScaleOptions, SimulationOptions
from maquette.simulation.bodies import bodies_of
from maquette.simulation.files import read_scene, write_simulation
from maquette.simulation.pictures import obj_bytes, textured_surface
from maquette.simulation.scale import scaled_scene
from maquette.simulation.world import world_of
from tests.document.scenes import make_scene, textured
from tests.simulation.scenes import GROUND, box, standing

METRES = 2.5
Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
TOLERANCE = 1e-5


def written(tmp_path, name, scene=None, metres=METRES, **options):
    chosen = SimulationOptions(**({"collision": "hull"} | options))
    scale = ScaleOptions(metres_per_unit=metres)
    return write_simulation(scene or standing(), tmp_path / name, chosen, scale)


def expected(scene, turn=Z_UP, metres=METRES, density=600.0):
    """Node name -> position, rotation, box and mass in the file's frame, from the scene alone."""
    found = {}
    for instance in scene.instances:
        placed = similarity(metres) @ instance.world_from_instance
        world = instance.mesh.copy().apply_transform(placed)
        bounds = np.sort(world.bounds @ turn.T, axis=0)
        scale = np.cbrt(np.linalg.det(placed[:3, :3]))
        rotation = turn @ (placed[:3, :3] / scale) @ turn.T
        found[instance.node_name] = (
            turn @ placed[:3, 3],
            rotation,
            bounds,
            world.volume * density,
        )
    return found


def check(read, scene, **how):
    """``read``: node name -> (position, rotation, box or None, mass)."""
    wanted = expected(scene, **how)
    assert set(read) == set(wanted)
    for node, (position, rotation, bounds, mass) in wanted.items():
        found = read[node]
        assert np.allclose(found[0], position, atol=TOLERANCE)
        assert np.allclose(found[1], rotation, atol=TOLERANCE)
        assert np.allclose(found[2], bounds, atol=TOLERANCE)
        assert found[3] == pytest.approx(mass, rel=TOLERANCE)


# MuJoCo


def mujoco_bodies(path):
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_path(str(path))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    found = {}
    for body in range(1, model.nbody):
        own = [g for g in range(model.ngeom) if model.geom_bodyid[g] == body]
        clouds = []
        for geom in own:
            mesh = model.geom_dataid[geom]
            if mesh >= 0:
                start = model.mesh_vertadr[mesh]
                vertices = model.mesh_vert[start : start + model.mesh_vertnum[mesh]]
                turn = data.geom_xmat[geom].reshape(3, 3)
                clouds.append(vertices @ turn.T + data.geom_xpos[geom])
        if clouds:
            cloud = np.concatenate(clouds)
            bounds = [cloud.min(0), cloud.max(0)]
            turn = data.xmat[body].reshape(3, 3)
            mass = model.body_mass[body]
            found[model.body(body).name] = (data.xpos[body], turn, bounds, mass)
    return model, data, found


@pytest.mark.parametrize("style", ["menagerie", "robosuite"])
@pytest.mark.parametrize("up", ["z", "y"])
def test_mujoco_reads_mjcf_as_the_scene_is(tmp_path, style, up):
    path = written(tmp_path, "a.xml", mjcf_style=style, up=up).path
    model, _, found = mujoco_bodies(path)
    check(found, standing(), turn=Z_UP if up == "z" else np.eye(3))
    assert np.allclose(model.opt.gravity, -9.81 * np.eye(3)["xyz".index(up)])
    groups = {"menagerie": {0, 2, 3}, "robosuite": {0, 1}}[style]
    assert set(model.geom_group) == groups
    seen = model.geom_group == {"menagerie": 2, "robosuite": 1}[style]
    assert not model.geom_contype[seen].any() and not model.geom_conaffinity[seen].any()


def test_inertia_is_that_of_boxes(tmp_path):
    model, _, _ = mujoco_bodies(written(tmp_path, "a.xml").path)
    sides = METRES * np.array([0.5, 0.2, 0.4])
    mass = 600 * sides.prod()
    moments = mass / 12 * (np.square(sides).sum() - np.square(sides))
    assert np.allclose(np.sort(model.body("instance_1").inertia), np.sort(moments), rtol=1e-5)


def test_what_stands_in_mjcf_stays_standing(tmp_path):
    mujoco = pytest.importorskip("mujoco")
    model, data, _ = mujoco_bodies(written(tmp_path, "a.xml").path)
    before = data.xpos.copy()
    for _ in range(500):
        mujoco.mj_step(model, data)
    assert np.abs(data.xpos - before).max() < 2e-3


def test_static_objects_have_no_joint_and_masses_are_those_given(tmp_path):
    model, _, _ = mujoco_bodies(
        written(tmp_path, "a.xml", static="table,4", mass={"cup": "0.25kg", 1: 7}).path
    )
    assert [model.joint(k).name for k in range(model.njnt)] == ["instance_2_joint"]
    assert model.body("instance_2").mass[0] == pytest.approx(0.25)
    assert model.body("instance_1").mass[0] == pytest.approx(7)


def test_mujoco_reads_urdf_as_the_scene_is(tmp_path):
    _, _, found = mujoco_bodies(written(tmp_path, "a.urdf").path)
    check(found, standing())


def test_yourdfpy_reads_urdf_as_the_scene_is(tmp_path):
    yourdfpy = pytest.importorskip("yourdfpy")
    robot = yourdfpy.URDF.load(str(written(tmp_path, "a.urdf", static="table").path))
    found = {}
    for joint in robot.joint_map.values():
        if joint.child == "ground":
            continue
        link = robot.link_map[joint.child]
        mesh = trimesh.load_mesh(tmp_path / link.visuals[0].geometry.mesh.filename)
        bounds = mesh.apply_transform(joint.origin).bounds
        found[joint.child] = (joint.origin[:3, 3], joint.origin[:3, :3], bounds, link.inertial.mass)
        assert joint.type == ("fixed" if joint.child == "instance_1" else "floating")
    check(found, standing())


def test_sdf_says_what_the_scene_is(tmp_path):
    world = ElementTree.parse(written(tmp_path, "a.sdf", static="table").path).getroot()[0]
    found = {}
    for model in world.iter("model"):
        pose = np.array(model.findtext("pose").split(), float)
        if model.get("name") == "ground":
            assert model.findtext("static") == "true"
            assert pose[2] == pytest.approx(GROUND * METRES)
            continue
        rotation = Rotation.from_euler("xyz", pose[3:]).as_matrix()
        mesh = trimesh.load_mesh(tmp_path / model.findtext("link/visual/geometry/mesh/uri"))
        bounds = mesh.apply_transform(similarity(1.0, rotation, pose[:3])).bounds
        mass = float(model.findtext("link/inertial/mass"))
        found[model.get("name")] = (pose[:3], rotation, bounds, mass)
        is_table = model.get("name") == "instance_1"
        assert model.findtext("static") == str(is_table).lower()
    check(found, standing())


# USD


def usd_stage(path):
    pytest.importorskip("pxr")
    from pxr import Usd

    return Usd.Stage.Open(str(path))


@pytest.mark.parametrize("name", ["a.usda", "a.usdz"])
@pytest.mark.parametrize("up", ["z", "y"])
def test_pxr_reads_usd_as_the_scene_is(tmp_path, name, up):
    stage = usd_stage(written(tmp_path, name, static="table", up=up).path)
    from pxr import Gf, UsdGeom, UsdPhysics

    assert UsdGeom.GetStageUpAxis(stage) == up.upper()
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    cache = UsdGeom.BBoxCache(0, ["default"])
    found = {}
    for prim in stage.Traverse():
        if not prim.HasAPI(UsdPhysics.MassAPI):
            continue
        matrix = np.array(UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(0)).T
        aligned = cache.ComputeWorldBound(prim).ComputeAlignedRange()
        bounds = [aligned.GetMin(), aligned.GetMax()]
        body = UsdPhysics.MassAPI(prim)
        axes = Gf.Matrix3d(Gf.Quatd(body.GetPrincipalAxesAttr().Get()))
        tensor = np.array(axes).T @ np.diag(body.GetDiagonalInertiaAttr().Get()) @ np.array(axes)
        assert np.allclose(tensor, np.diag(np.diag(tensor)), atol=1e-6)  # of boxes
        mass = body.GetMassAttr().Get()
        found[prim.GetName()] = (matrix[:3, 3], matrix[:3, :3], bounds, mass)
        is_table = prim.GetName() == "instance_1"
        assert prim.HasAPI(UsdPhysics.RigidBodyAPI) != is_table
    wanted = {"turn": Z_UP if up == "z" else np.eye(3)}
    check(found, standing(), **wanted)


def test_every_part_collides_as_its_hull_and_is_a_guide(tmp_path):
    stage = usd_stage(written(tmp_path, "a.usda").path)
    from pxr import UsdGeom, UsdPhysics

    colliders = [p for p in stage.Traverse() if p.HasAPI(UsdPhysics.MeshCollisionAPI)]
    assert len(colliders) == 3
    for prim in colliders:
        assert prim.HasAPI(UsdPhysics.CollisionAPI)
        assert UsdPhysics.MeshCollisionAPI(prim).GetApproximationAttr().Get() == "convexHull"
        assert UsdGeom.Imageable(prim).GetPurposeAttr().Get() == "guide"


@pytest.mark.parametrize("name", ["a.usda", "a.usdz"])
def test_the_validators_of_usd_find_nothing(tmp_path, name):
    stage = usd_stage(written(tmp_path, name, scene=make_scene()).path)
    from pxr import UsdValidation

    registry = UsdValidation.ValidationRegistry()
    names = [told.name for told in registry.GetAllValidatorMetadata()]
    assert len(names) > 20
    context = UsdValidation.ValidationContext(registry.GetOrLoadValidatorsByName(names))
    assert [error.GetMessage() for error in context.Validate(stage)] == []


def test_files_in_usdz_are_aligned(tmp_path):
    path = written(tmp_path, "a.usdz").path
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "scene.usda"
        for entry in archive.infolist():
            start = content.index(archive.read(entry), entry.header_offset)
            assert start % 64 == 0 and entry.compress_type == zipfile.ZIP_STORED


# All formats


@pytest.mark.parametrize("suffix", ["xml", "urdf", "sdf", "usda"])
def test_an_unknown_scale_is_marked_in_the_file(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    done = write_simulation(standing(), path, SimulationOptions(collision="hull"))
    assert done.metres_per_unit == 1.0
    assert "scale unknown, assuming" in done.remarks[0]
    assert "scale unknown, assuming" in path.read_text()
    assert "scale unknown" not in written(tmp_path, f"b.{suffix}").path.read_text()


@pytest.mark.parametrize("suffix", ["xml", "urdf", "sdf", "usda", "usdz"])
def test_equal_scenes_give_equal_bytes(tmp_path, suffix):
    first = written(tmp_path / "one", f"a.{suffix}").files
    second = written(tmp_path / "two", f"a.{suffix}").files
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("suffix", ["xml", "urdf", "sdf", "usda"])
def test_names_that_formats_forbid_are_changed(tmp_path, suffix):
    names = ["world", "World", "crate <&> \u00e9--", "..", "3", "ground", "CON\n\x01"]
    boxes = tuple(
        box(k + 1, (0.1, 0.1, 0.1), similarity(1.0, None, np.full(3, k)), "", node=name)
        for k, name in enumerate(names)
    )
    scene = make_scene(instances=boxes)
    path = written(tmp_path, f"a.{suffix}", scene=scene).path
    if suffix in ("xml", "urdf"):
        _, _, found = mujoco_bodies(path)
    elif suffix == "sdf":
        found = [m for m in ElementTree.parse(path).iter("model") if m.get("name") != "ground"]
    else:
        from pxr import UsdPhysics

        stage = usd_stage(path)
        found = [p for p in stage.Traverse() if p.HasAPI(UsdPhysics.MassAPI)]
        assert [prim.GetDisplayName() for prim in found] == names
    assert len(found) == len(names)


@pytest.mark.parametrize("metres", [1e-3, 1.0, 1e3])
def test_flat_open_and_tiny_objects_compile(tmp_path, metres):
    scene = make_scene()  # with an open box and a sheet
    flat = box(20, (0.2, 0.2, 0.0), np.eye(4), "paper")
    whole = dataclasses.replace(scene, instances=(*scene.instances, flat))
    done = written(tmp_path, "a.xml", scene=whole, metres=metres)
    model, _, found = mujoco_bodies(done.path)
    assert len(found) == 4 and (model.body_mass[1:] > 0).all()
    assert any("holes" in remark for remark in done.remarks)
    assert any("convex hull" in remark for remark in done.remarks)


def test_a_mirror_image_and_a_stretch_are_in_the_vertices():
    instance = standing()[1]
    stretched = instance.world_from_instance @ np.diag([-2.0, 1.0, 1.0, 1.0])
    scene = standing().transform(1, stretched)
    scaled = scaled_scene(scene, ScaleOptions(metres_per_unit=1.0))
    body = bodies_of(scaled, SimulationOptions(collision="hull", up="y")).bodies[0]
    rotation = body.file_from_body[:3, :3]
    assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.linalg.det(rotation) > 0
    assert body.visual.volume == pytest.approx(2 * instance.mesh.volume)
    assert body.mass.mass == pytest.approx(600 * body.visual.volume)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"collision": "mesh"}, "collision must be one of parts, hull, box"),
        ({"density": 0}, "density must be"),
        ({"mass": ["cup=heavy"]}, "--mass cup=heavy: could not convert"),
        ({"mass": ["cup=-1"]}, "kilograms of at least"),
        ({"mass": ["sofa=1"]}, "no object is called 'sofa'"),
        ({"static": "sofa"}, "--static sofa: no object"),
        ({"up": "x"}, "up must be one of z, y"),
        ({"mjcf_style": "mine"}, "mjcf_style must be"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        written(tmp_path, "a.xml", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_scene_without_visible_objects_is_refused(tmp_path):
    with pytest.raises(InputError, match="no visible object"):
        written(tmp_path, "a.xml", scene=standing().hide(1).hide(2).delete(4))


def test_the_method_of_scenes_writes_them_too(tmp_path, caplog):
    scene = standing()
    path = scene.export(tmp_path / "a.xml", collision="box", density=100, size={"table": 0.5})
    assert mujoco_bodies(path)[0].nbody == 4
    assert not caplog.records
    scene.export(tmp_path / "b.urdf", collision="box")
    assert "scale unknown" in caplog.text
    with pytest.raises(OutputError, match="already exists"):
        scene.export(path, overwrite=False)
    with pytest.raises(InputError, match="separate: files for simulators do not take it"):
        scene.export(path, separate=True)
    with pytest.raises(InputError, match="density: only files for simulators"):
        scene.export(tmp_path / "a.obj", density=3)


def test_a_glb_is_a_scene_again(tmp_path):
    scene = dataclasses.replace(standing().rename(4, "crate"), metres_per_unit=METRES)
    again = read_scene(scene.export(tmp_path / "a.glb"))
    assert [i.label for i in again.instances] == [1, 2, 4]
    assert [(i.node_name, i.name) for i in again.instances] == [
        ("instance_1", "table"),
        ("instance_2", "cup"),
        ("crate", "crate"),
    ]
    assert again.metres_per_unit == 1.0
    assert again.ground_height == pytest.approx(METRES * GROUND)
    path = write_simulation(again, tmp_path / "a.xml", SimulationOptions(collision="hull")).path
    check(mujoco_bodies(path)[2], scene)
    unknown = read_scene(standing().export(tmp_path / "b.glb"))
    assert unknown.metres_per_unit is None


def test_other_files_are_no_scenes(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError, match=r"scene.json, or a .glb"):
        read_scene(tmp_path / "a.obj")
    with pytest.raises(InputError):
        read_scene(tmp_path / "b.glb")


# Looks


@pytest.mark.parametrize("mesh", [standing()[2].mesh, textured()], ids=["colours", "texture"])
def test_pictures_show_the_colours_of_the_vertices(mesh, tmp_path):
    surface = textured_surface(mesh)
    (tmp_path / "a.obj").write_bytes(obj_bytes(surface, "surface", "a.mtl"))
    (tmp_path / "a.mtl").write_text("newmtl surface\nmap_Kd a.png\n")
    surface.image.save(tmp_path / "a.png")
    again = trimesh.load_mesh(tmp_path / "a.obj", process=False)
    nearest = np.linalg.norm(mesh.vertices[:, None] - again.vertices, axis=2).argmin(1)
    found = vertex_colors_of(again)[nearest]
    assert np.array_equal(found[:, :3], vertex_colors_of(mesh)[:, :3])
    lengths = np.linalg.norm(surface.normals, axis=1)
    assert np.allclose(lengths, 1)


def test_paths_in_files_are_relative(tmp_path):
    for suffix in ("xml", "urdf", "sdf", "usda"):
        done = written(tmp_path, f"a.{suffix}")
        assert all(str(tmp_path) not in f.read_text(errors="replace") for f in done.files)
        assert all(Path(f).is_relative_to(tmp_path) for f in done.files)


def test_physics_that_goes_wrong_writes_nothing_where_the_user_is(tmp_path, monkeypatch):
    """Two heavy blocks in each other, thrown at the speed of light."""
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    scene = standing()
    world = world_of(bodies_of(scaled_scene(scene, ScaleOptions()), SimulationOptions()))
    world.data.qvel[:] = 1e30
    world.library.mj_step(world.model, world.data)
    assert not list(tmp_path.iterdir())
