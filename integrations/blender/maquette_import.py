"""maquette in Blender: a photo with masks, or a finished scene, becomes named objects, a camera and
the ground.

One file: Edit > Preferences > Add-ons > Install from Disk. A photo is made into a scene by a
running `maquette app` (docs/app-api.md), whose address is in the add-on's preferences; Blender's
own Python needs nothing for that. A .glb is read as it is; a scene.json, or the folder of one,
needs the scene.glb that `maquette generate` writes beside it, or the package maquette in Blender's
Python.

The functions below the heading "Without the window" do the work and need no window.
"""

import json
import mimetypes
import os
import tempfile
import time
import urllib.error
import urllib.request
import uuid

import bpy
from bpy.props import IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

bl_info = {
    "name": "maquette",
    "description": "One photo in, an editable 3D scene out",
    "author": "The maquette authors",
    "version": (0, 2, 0),
    "blender": (4, 0, 0),
    "location": "File > Import > maquette",
    "category": "Import-Export",
}
SERVER = "http://127.0.0.1:8765"
PATIENCE = 3600.0  # seconds that a scene may take
GROUND = "ground"
OVERHANG = 2.0  # side of the ground, in spans of the scene


class MaquetteError(RuntimeError):
    """What a person has to know, in one line."""


# Without the window


def open_scene(path: str) -> list:
    """Place a .glb, a scene.json, or the scene of a folder; returns the new objects, named as its
    nodes. The label of each is its custom property "label". Raises MaquetteError.
    """
    glb = _glb_of(path)
    before = set(bpy.data.objects)
    bpy.ops.import_scene.gltf(filepath=glb)
    made = [one for one in bpy.data.objects if one not in before]
    meshes = [one for one in made if one.type == "MESH"]
    if not meshes:
        raise MaquetteError(f"{path}: holds no object with a surface")
    cameras = [one for one in made if one.type == "CAMERA"]
    if cameras:
        _use_camera(cameras[0])
    bpy.context.view_layer.update()
    made.append(_add_ground(meshes, _header(glb)))
    return made


def make_scene(photo: str, masks: str, server: str = SERVER, seed: int = 0) -> str:
    """Have a photo made into a scene by a running `maquette app`; returns the path of its .glb, in
    the folder for temporary files. Raises MaquetteError.
    """
    fields = {"options": json.dumps({"seed": seed})}
    body, kind = _multipart(fields, {"photo": photo, "masks": masks})
    job = _answer(f"{server}/api/jobs", body, kind)
    until = time.monotonic() + PATIENCE
    while job["state"] in ("queued", "running"):
        if time.monotonic() > until:
            raise MaquetteError(
                f"{server}: the scene is not ready after {PATIENCE / 60:.0f} minutes"
            )
        time.sleep(0.5)
        job = _answer(f"{server}/api/jobs/{job['id']}")
    if job["state"] != "done":
        raise MaquetteError(job.get("error") or f"the job was {job['state']}")
    content = _fetched(f"{server}/api/scenes/{job['scene']}/export?format=glb")
    path = os.path.join(tempfile.mkdtemp(prefix="maquette-"), "scene.glb")
    with open(path, "wb") as file:
        file.write(content)
    return path


def _glb_of(path: str) -> str:
    """The .glb that stands for a path."""
    if path.lower().endswith(".glb"):
        return path
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    beside = os.path.join(folder, "scene.glb")
    try:
        import maquette
    except ImportError:
        if os.path.isfile(beside):
            return beside
        raise MaquetteError(
            f"{path}: has no scene.glb beside it; write one with `maquette export {folder} -o "
            "scene.glb`, or install maquette in Blender's Python"
        ) from None
    written = os.path.join(tempfile.mkdtemp(prefix="maquette-"), "scene.glb")
    try:
        return str(maquette.load(path).export(written))
    except maquette.MaquetteError as error:
        raise MaquetteError(str(error)) from error


def _use_camera(camera) -> None:
    """Look through the photo's camera, at the size of the photo."""
    scene = bpy.context.scene
    scene.camera = camera
    width, height = (int(camera.get(key, 0)) for key in ("width", "height"))
    if width and height:
        scene.render.resolution_x = width
        scene.render.resolution_y = height


def _add_ground(meshes: list, header: dict):
    """A plane where the scene stands; the file's ground if it tells one, else below everything."""
    corners = [one.matrix_world @ _vector(corner) for one in meshes for corner in one.bound_box]
    low = [min(corner[axis] for corner in corners) for axis in range(3)]
    high = [max(corner[axis] for corner in corners) for axis in range(3)]
    scenes = header.get("scenes") or [{}]
    told = (scenes[0].get("extras") or {}).get("ground_height")
    height = float(told) if isinstance(told, (int, float)) else low[2]
    half = 0.5 * OVERHANG * max(high[0] - low[0], high[1] - low[1])
    ground = bpy.data.objects.new(GROUND, _square(half))
    ground.location = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, height)
    bpy.context.scene.collection.objects.link(ground)
    return ground


def _square(half: float):
    """A level mesh of one face, 2 ``half`` long, about the origin."""
    mesh = bpy.data.meshes.new(GROUND)
    sides = [(-half, -half, 0), (half, -half, 0), (half, half, 0), (-half, half, 0)]
    mesh.from_pydata(sides, [], [(0, 1, 2, 3)])
    return mesh


def _vector(values):
    from mathutils import Vector

    return Vector(values)


def _header(path: str) -> dict:
    """The JSON of a .glb."""
    with open(path, "rb") as file:
        start = file.read(20)
        return json.loads(file.read(int.from_bytes(start[12:16], "little")))


def _multipart(fields: dict, files: dict) -> tuple[bytes, str]:
    """Fields and files as the body of a form, and its content type."""
    mark = uuid.uuid4().hex
    parts = []
    for name, value in fields.items():
        parts.append(
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        )
    for name, path in files.items():
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        told = f'form-data; name="{name}"; filename="{os.path.basename(path)}"'
        head = f"--{mark}\r\nContent-Disposition: {told}\r\n"
        with open(path, "rb") as file:
            parts.append(f"{head}Content-Type: {kind}\r\n\r\n".encode() + file.read() + b"\r\n")
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), f"multipart/form-data; boundary={mark}"


def _answer(address: str, body: bytes | None = None, kind: str = "") -> dict:
    return json.loads(_fetched(address, body, kind))


def _fetched(address: str, body: bytes | None = None, kind: str = "") -> bytes:
    """What the server answers. MaquetteError with its own words when it refuses."""
    request = urllib.request.Request(address, body, {"Content-Type": kind} if kind else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        try:
            said = json.loads(error.read())["error"]["message"]
        except (ValueError, KeyError, TypeError):
            said = f"the server answered {error.code}"
        raise MaquetteError(said) from error
    except OSError as error:
        raise MaquetteError(
            f"{address}: no answer ({error}); start the server with: maquette app"
        ) from error


# In the window


class MAQUETTE_preferences(bpy.types.AddonPreferences):
    """Where scenes are made."""

    bl_idname = __name__
    server: StringProperty(name="Server", default=SERVER, description="Of `maquette app`")

    def draw(self, context) -> None:
        """The one field."""
        self.layout.prop(self, "server")


def _server(context) -> str:
    addon = context.preferences.addons.get(__name__)
    return (addon.preferences.server if addon else SERVER).rstrip("/")


class MAQUETTE_OT_open(bpy.types.Operator, ImportHelper):
    """Open a scene of maquette: .glb, scene.json, or the folder of one."""

    bl_idname = "import_scene.maquette"
    bl_label = "maquette scene"
    bl_options = {"REGISTER", "UNDO"}
    filename_ext = ".glb"
    filter_glob: StringProperty(default="*.glb;*.json", options={"HIDDEN"})

    def execute(self, context) -> set:
        """Place it."""
        return _reported(self, lambda: open_scene(self.filepath))


class MAQUETTE_OT_make(bpy.types.Operator, ImportHelper):
    """Make a scene of a photo and the masks of its objects."""

    bl_idname = "import_scene.maquette_photo"
    bl_label = "maquette: photo with masks"
    bl_options = {"REGISTER", "UNDO"}
    filter_glob: StringProperty(default="*.png;*.jpg;*.jpeg;*.webp;*.tif", options={"HIDDEN"})
    masks: StringProperty(
        name="Masks",
        subtype="FILE_PATH",
        description="Label picture, COCO .json, .npz (default: PHOTO_seg.png, PHOTO_masks.png)",
    )
    seed: IntProperty(name="Seed", default=0, min=0)

    def execute(self, context) -> set:
        """Have it made, and place it."""

        def make() -> list:
            masks = self.masks or _masks_beside(self.filepath)
            return open_scene(make_scene(self.filepath, masks, _server(context), self.seed))

        return _reported(self, make)


def _masks_beside(photo: str) -> str:
    stem = os.path.splitext(photo)[0]
    folder = os.path.dirname(photo)
    names = [f"{stem}_seg.png", f"{stem}_masks.png", f"{stem}_masks.json"]
    names.append(os.path.join(folder, "masks.png"))
    for name in names:
        if os.path.isfile(name):
            return name
    raise MaquetteError(f"{photo}: no masks beside it; choose them in the panel at the right")


def _reported(operator, work) -> set:
    """Run the work; what goes wrong is said where Blender says such things."""
    try:
        made = work()
    except MaquetteError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    operator.report({"INFO"}, f"maquette: {len(made)} objects")
    return {"FINISHED"}


CLASSES = (MAQUETTE_preferences, MAQUETTE_OT_open, MAQUETTE_OT_make)


def _menu(self, context) -> None:
    self.layout.operator(MAQUETTE_OT_open.bl_idname, text="maquette scene (.glb, scene.json)")
    self.layout.operator(MAQUETTE_OT_make.bl_idname, text="maquette: photo with masks")


def register() -> None:
    """Called by Blender."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    bpy.types.TOPBAR_MT_file_import.append(_menu)


def unregister() -> None:
    """Called by Blender."""
    bpy.types.TOPBAR_MT_file_import.remove(_menu)
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
