"""The add-on in a real Blender, as the module bpy, in a process of its own."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from maquette.document.scene_json import save
from tests.document.scenes import make_scene

ADDON = Path(__file__).parents[2] / "integrations" / "blender" / "maquette_import.py"
SCRIPT = """
import importlib.util, json, sys
import bpy
spec = importlib.util.spec_from_file_location("maquette_import", sys.argv[1])
addon = importlib.util.module_from_spec(spec)
sys.modules["maquette_import"] = addon
spec.loader.exec_module(addon)
bpy.ops.wm.read_factory_settings(use_empty=True)
addon.register()
if len(sys.argv) > 4:
    made = addon.open_scene(addon.make_scene(sys.argv[2], sys.argv[3], sys.argv[4]))
else:
    made = addon.open_scene(sys.argv[2])
scene = bpy.context.scene
print("RESULT" + json.dumps({
    "objects": {one.name: [one.type, one.get("label"), list(one.location)] for one in made},
    "camera": scene.camera.name if scene.camera else None,
    "size": [scene.render.resolution_x, scene.render.resolution_y],
}))
try:
    addon.open_scene(sys.argv[1] + ".json")
except addon.MaquetteError as error:
    print("REFUSED", error)
addon.unregister()
"""


def in_blender(*arguments):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ADDON), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    (line,) = [one for one in run.stdout.splitlines() if one.startswith("RESULT")]
    return json.loads(line.removeprefix("RESULT")), run.stdout


def test_the_add_on_is_one_file_that_parses_without_blender():
    compile(ADDON.read_text(encoding="utf-8"), str(ADDON), "exec")
    assert [path.name for path in ADDON.parent.iterdir() if path.suffix == ".py"] == [ADDON.name]


@pytest.mark.tools
@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs pip install bpy")
@pytest.mark.parametrize("name", ["room.glb", "room/scene.json", "room"])
def test_a_scene_becomes_named_objects_a_camera_and_the_ground(tmp_path, name):
    scene = make_scene(metres_per_unit=2.0).rename(1, "egg")
    scene.export(tmp_path / "room.glb")
    save(scene, tmp_path / "room" / "scene.json")
    found, said = in_blender(tmp_path / name)
    objects = found["objects"]
    meshes = {key: told for key, told in objects.items() if told[0] == "MESH" and key != "ground"}
    assert {key: told[1] for key, told in meshes.items()} == {
        i.node_name: i.label for i in scene.instances
    }
    for instance in scene.instances:  # +Y up becomes +Z up
        x, y, z = 2.0 * instance.world_from_instance[:3, 3]
        assert objects[instance.node_name][2] == pytest.approx([x, -z, y], abs=1e-5)
    assert objects["ground"][2][2] == pytest.approx(2.0 * scene.ground_height)
    assert found["camera"] and found["size"] == [64, 48] and "REFUSED" in said


@pytest.mark.tools
@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs pip install bpy")
def test_a_photo_is_made_by_a_running_app(tmp_path, tiny_weights):
    from tests.app.live import start
    from tests.tiny import write_photo

    photo, masks = write_photo(tmp_path)
    with start(tmp_path / "data", worker=(), weights=(tiny_weights,)) as live:
        found, _ = in_blender(photo, masks, f"http://{live.host}")
    assert {"ground", "instance_1", "instance_2"} <= set(found["objects"])
