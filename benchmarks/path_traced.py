"""The benchmark's scenes through a path tracer: same objects, places, camera and masks, another
picture.

    maquette benchmark --prepare-only --set random --scenes 10 --out RUN python
    benchmarks/path_traced.py RUN/scenes TRACED              # any Python with Blender's module: pip
    install bpy maquette benchmark --from RUN/scenes --out own ; maquette benchmark --from TRACED
    --out traced

Networks that learn from maquette's own renderer should not be measured on its pictures alone. Here
the renderer is the only difference between two runs, so scores can be compared scene by scene.
Needs nothing of maquette, only bpy (tested with 5.0) and NumPy. Blender's Cycles computes soft
shadows, light that bounces between objects, and glossy surfaces, over ground and walls with
procedural textures; light, textures and exposure follow from the scene's name and --seed. A set
whose name starts with "room" gets two or three walls, others a wall now and then."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

try:
    import bpy
    from mathutils import Matrix
except ModuleNotFoundError:
    sys.exit("path_traced.py needs Blender's module; install it into this Python: pip install bpy")

COPIED = ("masks.png", "truth.glb", "objects.json")
# Blender is +Z up, glTF and maquette +Y up; Blender's cameras look along their -Z.
BLENDER_FROM_SCENE = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))
BLENDER_CAMERA_FROM_OPENCV = Matrix.Diagonal((1, -1, -1, 1))
WARM = (1.0, 0.8, 0.58)
COOL = (0.75, 0.87, 1.0)
WHITE = (1.0, 0.97, 0.93)
LIGHTS = ("sun", "overcast", "lamps", "window")
GROUNDS = ("planks", "tiles", "concrete", "marble", "checker", "plain")
HUES = {  # linear albedos that everyday surfaces have
    "planks": ((0.40, 0.22, 0.10), (0.18, 0.09, 0.045), (0.55, 0.37, 0.20)),
    "tiles": ((0.55, 0.53, 0.50), (0.25, 0.24, 0.23), (0.50, 0.36, 0.26)),
    "concrete": ((0.32, 0.31, 0.29), (0.16, 0.16, 0.16), (0.20, 0.22, 0.10)),
    "marble": ((0.62, 0.60, 0.57), (0.12, 0.13, 0.12), (0.48, 0.40, 0.32)),
    "checker": ((0.6, 0.58, 0.55), (0.35, 0.08, 0.06), (0.15, 0.2, 0.3)),
    "plain": ((0.7, 0.7, 0.7), (0.45, 0.42, 0.38), (0.2, 0.25, 0.3)),
}


def main(arguments: list[str] | None = None) -> int:
    """Render every scene folder below SCENES that OUT does not hold yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "scenes", type=Path, help="prepared scenes: folders with objects.json, truth.glb, masks.png"
    )
    parser.add_argument("out", type=Path, help="the same folders with another photo.png")
    parser.add_argument(
        "--samples", type=int, default=32, help="paths per pixel, before denoising (default 32)"
    )
    parser.add_argument(
        "--percent",
        type=int,
        default=100,
        help="trace a photo with so much of the sides, and enlarge it (default 100)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    folders = sorted(path.parent for path in args.scenes.rglob("objects.json"))
    if not folders:
        parser.error(
            f"{args.scenes}: no prepared scenes below; make them with maquette benchmark "
            "--prepare-only"
        )
    for folder in folders:
        name = folder.relative_to(args.scenes).as_posix()
        target = args.out / name
        if (target / "photo.png").exists():
            continue
        start = time.perf_counter()
        target.mkdir(parents=True, exist_ok=True)
        for file in COPIED:
            shutil.copyfile(folder / file, target / file)
        rng = np.random.default_rng((args.seed, zlib.crc32(name.encode())))
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        look = compose(scene, folder, rng, walls=name.startswith("room"))
        scene.render.threads_mode = "FIXED"
        scene.render.threads = args.threads
        scene.render.resolution_percentage = args.percent
        develop(scene, target / "photo.png", rng, args.samples)
        print(f"{name}: {look}, {time.perf_counter() - start:.1f} s", flush=True)
    return 0


def compose(scene: Any, folder: Path, rng: np.random.Generator, *, walls: bool) -> str:
    """Objects, camera, ground, walls and light of a prepared scene; returns what was drawn, in
    words.
    """
    camera = json.loads((folder / "objects.json").read_text(encoding="utf-8"))["camera"]
    if camera is None:
        raise SystemExit(f"{folder}: objects.json tells no camera; path tracing needs one")
    low, high = add_objects(folder / "truth.glb", rng)
    eye = add_camera(scene, camera)
    size = float((high - low)[:2].max())
    ground = str(rng.choice(GROUNDS))
    light = str(rng.choice(LIGHTS[1:] if walls else LIGHTS))
    centre = (low + high) / 2
    towards = np.append(eye[:2] - centre[:2], 0.0)
    towards /= np.linalg.norm(towards)
    add_plane((*centre[:2], low[2]), (0.0, 0.0, 1.0), 60.0 * size, surface(ground, rng, size))
    count = int(rng.integers(2, 4)) if walls else int(rng.random() < 0.3)
    kept = add_walls(count, low, high, eye, towards, rng)
    add_light(scene, light, centre, size, towards, rng)
    return f"{ground} ground, {light}, {kept} walls"


def add_objects(truth: Path, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Import the true objects, give them materials; returns the corners (3,) of their box."""
    bpy.ops.import_scene.gltf(filepath=str(truth))
    objects = [o for o in bpy.data.objects if o.type == "MESH"]
    for o in [o for o in bpy.data.objects if o.type in ("CAMERA", "LIGHT")]:
        bpy.data.objects.remove(o)
    points = []
    for o in objects:
        o.data.shade_smooth()
        o.data.set_sharp_from_angle(angle=math.radians(35))
        o.data.materials.clear()
        o.data.materials.append(object_material(o.data, rng))
        vertices = np.empty(3 * len(o.data.vertices), np.float32)
        o.data.vertices.foreach_get("co", vertices)
        matrix = np.array(o.matrix_world)
        points.append(vertices.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
    every = np.concatenate(points)
    return every.min(0), every.max(0)


def object_material(mesh: Any, rng: np.random.Generator) -> Any:
    """The mesh's own colours on a matt, satin or polished surface, some with grain and dents."""
    material, nodes, shader = new_material()
    links = material.node_tree.links
    colour = nodes.new("ShaderNodeVertexColor")
    colour.layer_name = mesh.color_attributes[0].name if len(mesh.color_attributes) else ""
    rough = float(rng.choice([rng.uniform(0.55, 0.95), rng.uniform(0.12, 0.5)], p=[0.65, 0.35]))
    shader.inputs["Roughness"].default_value = rough
    out = colour.outputs["Color"]
    if rng.random() < 0.5:
        noise = nodes.new("ShaderNodeTexNoise")
        noise.inputs["Scale"].default_value = float(np.exp(rng.uniform(np.log(8), np.log(80))))
        noise.inputs["Detail"].default_value = 6.0
        out = mixed(
            material, out, scaled(material, out, float(rng.uniform(0.6, 0.9))), noise.outputs[0]
        )
        add_bump(material, shader, noise.outputs[0], float(rng.uniform(0.0, 0.15)), 0.02)
    links.new(out, shader.inputs["Base Color"])
    return material


def surface(kind: str, rng: np.random.Generator, size: float) -> Any:
    """A ground or wall: procedural colours in world coordinates, at a random scale and turn."""
    material, nodes, shader = new_material()
    links = material.node_tree.links
    place = nodes.new("ShaderNodeMapping")
    place.inputs["Rotation"].default_value[2] = float(rng.uniform(0, 2 * math.pi))
    scale = float(np.exp(rng.uniform(np.log(1.0), np.log(5.0)))) / size
    place.inputs["Scale"].default_value = (scale, scale, scale)
    links.new(nodes.new("ShaderNodeTexCoord").outputs["Object"], place.inputs["Vector"])
    hue = np.array(HUES[kind][int(rng.integers(3))]) * rng.uniform(0.7, 1.25)
    other = np.clip(hue * rng.uniform(0.45, 0.85) + rng.uniform(-0.02, 0.04, 3), 0.01, 0.9)
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = float(rng.uniform(2, 9))
    noise.inputs["Detail"].default_value = 10.0
    links.new(place.outputs["Vector"], noise.inputs["Vector"])
    base = rgb(material, hue)
    tint = rgb(material, other)
    if kind in ("planks", "tiles"):
        pattern = nodes.new("ShaderNodeTexBrick")
        pattern.inputs["Color1"].default_value = (*hue, 1)
        pattern.inputs["Color2"].default_value = (*(0.5 * hue + 0.5 * other), 1)
        pattern.inputs["Mortar"].default_value = (*(0.35 * hue), 1)
        pattern.inputs["Scale"].default_value = 2.0
        wide, high = (2.2, 0.25) if kind == "planks" else (0.5, 0.5)
        pattern.inputs["Brick Width"].default_value = wide
        pattern.inputs["Row Height"].default_value = high
        pattern.inputs["Mortar Size"].default_value = (
            0.006 if kind == "planks" else float(rng.uniform(0.01, 0.03))
        )
        links.new(place.outputs["Vector"], pattern.inputs["Vector"])
        base = pattern.outputs["Color"]
        tint = scaled(material, base, float(rng.uniform(0.5, 0.8)))
        if kind == "planks":  # grain runs along the boards
            stretch = nodes.new("ShaderNodeMapping")
            stretch.inputs["Scale"].default_value = (1.0, 14.0, 1.0)
            links.new(place.outputs["Vector"], stretch.inputs["Vector"])
            links.new(stretch.outputs["Vector"], noise.inputs["Vector"])
    elif kind == "checker":
        pattern = nodes.new("ShaderNodeTexChecker")
        pattern.inputs["Color1"].default_value = (*hue, 1)
        pattern.inputs["Color2"].default_value = (*random_albedo(rng), 1)
        pattern.inputs["Scale"].default_value = 3.0
        links.new(place.outputs["Vector"], pattern.inputs["Vector"])
        base = pattern.outputs["Color"]
        tint = scaled(material, base, 0.85)
    elif kind == "marble":
        pattern = nodes.new("ShaderNodeTexWave")
        pattern.inputs["Distortion"].default_value = float(rng.uniform(6, 16))
        pattern.inputs["Detail"].default_value = 4.0
        links.new(place.outputs["Vector"], pattern.inputs["Vector"])
        base = mixed(material, base, scaled(material, base, 0.6), pattern.outputs["Color"])
    elif kind == "plain":
        tint = scaled(material, base, 0.93)
    links.new(mixed(material, base, tint, noise.outputs[0]), shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = float(rng.uniform(0.25, 0.9))
    add_bump(material, shader, noise.outputs[0], float(rng.uniform(0.0, 0.25)), 0.02 * size)
    return material


def add_camera(scene: Any, camera: dict[str, Any]) -> np.ndarray:
    """The true camera; returns its position (3,) in Blender's axes."""
    intrinsics = np.array(camera["intrinsics"])
    width = camera["width"]
    height = camera["height"]
    data = bpy.data.cameras.new("camera")
    longer = max(width, height)
    data.sensor_width = 36.0
    data.lens = 36.0 * float(intrinsics[0, 0]) / longer
    data.shift_x = (width / 2 - float(intrinsics[0, 2])) / longer
    data.shift_y = (float(intrinsics[1, 2]) - height / 2) / longer
    data.clip_start = 1e-3
    data.clip_end = 1e4
    o = bpy.data.objects.new("camera", data)
    scene.collection.objects.link(o)
    o.matrix_world = (
        BLENDER_FROM_SCENE @ Matrix(camera["world_from_camera"]) @ BLENDER_CAMERA_FROM_OPENCV
    )
    scene.camera = o
    scene.render.resolution_x = width
    scene.render.resolution_y = height
    return np.array(o.matrix_world)[:3, 3]


def add_walls(
    count: int,
    low: np.ndarray,
    high: np.ndarray,
    eye: np.ndarray,
    towards: np.ndarray,
    rng: np.random.Generator,
) -> int:
    """Upright walls behind the objects, at right angles to each other, none between them and the
    eye; returns how many fitted.
    """
    corners = np.array([[x, y, 0.0] for x in (low[0], high[0]) for y in (low[1], high[1])])
    size = float((high - low)[:2].max())
    turn = float(rng.uniform(-0.5, 0.5))
    kind = "plain" if rng.random() < 0.7 else str(rng.choice(GROUNDS))
    material = surface(kind, rng, size)
    made = 0
    for quarter in (0.0, *rng.permutation([-1.0, 1.0]))[:count]:
        angle = turn + quarter * math.pi / 2
        c = math.cos(angle)
        s = math.sin(angle)
        normal = np.array([c * towards[0] - s * towards[1], s * towards[0] + c * towards[1], 0.0])
        offset = float((corners @ normal).min()) - size * float(rng.uniform(0.02, 0.35))
        if float(eye @ normal) > offset + 0.05 * size:
            add_plane(tuple(offset * normal), tuple(normal), 60.0 * size, material)
            made += 1
    return made


def add_plane(
    point: tuple[float, ...], normal: tuple[float, ...], side: float, material: Any
) -> None:
    """A large square."""
    bpy.ops.mesh.primitive_plane_add(size=side)
    o = bpy.context.object
    z = np.array(normal)
    x = np.cross((0.0, 1.0, 0.0), z) if abs(z[1]) < 0.9 else np.cross((0.0, 0.0, 1.0), z)
    x /= np.linalg.norm(x)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    matrix[:3, 3] = point
    o.matrix_world = Matrix(matrix.tolist())
    o.data.materials.append(material)


def add_light(
    scene: Any,
    kind: str,
    centre: np.ndarray,
    size: float,
    towards: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Sun and sky, an overcast sky, lamps above the scene, or a window beside it; from the camera's
    half of the sky.
    """
    around = math.atan2(towards[1], towards[0]) + float(rng.uniform(-1.3, 1.3))
    height = math.radians(float(rng.uniform(25, 75)))
    direction = np.array(
        [math.cos(height) * math.cos(around), math.cos(height) * math.sin(around), math.sin(height)]
    )
    warmth = rng.uniform(0.0, 1.0)
    key = tuple(float(w * warmth + v * (1 - warmth)) for w, v in zip(WARM, WHITE))
    if kind in ("sun", "overcast"):
        soft = math.radians(float(rng.uniform(0.5, 6.0) if kind == "sun" else rng.uniform(30, 80)))
        add_lamp(
            scene,
            "SUN",
            centre + 5 * size * direction,
            direction,
            key,
            {"energy": 4.0 if kind == "sun" else 1.0, "angle": soft},
        )
        world(scene, COOL if kind == "sun" else WHITE, float(rng.uniform(0.4, 1.1)))
        return
    world(scene, WHITE, float(rng.uniform(0.03, 0.25)))
    lamps = int(rng.integers(1, 3)) if kind == "lamps" else 1
    for _ in range(lamps):
        if kind == "lamps":
            beside = np.append(rng.uniform(-0.8, 0.8, 2), 0.0) + 0.4 * towards
            place = centre + size * (beside + (0, 0, rng.uniform(1.0, 1.8)))
            wide = float(rng.uniform(0.15, 0.8))
        else:
            place = centre + 1.6 * size * np.append(direction[:2], 0.45)
            wide = float(rng.uniform(0.8, 1.5))
        add_lamp(
            scene,
            "AREA",
            place,
            place - centre,
            key,
            {"energy": 60.0 * size * size / lamps, "size": wide * size},
        )


def add_lamp(
    scene: Any,
    kind: str,
    place: np.ndarray,
    towards: np.ndarray,
    colour: tuple[float, ...],
    values: dict[str, float],
) -> None:
    """A lamp whose light comes from ``towards`` (3,)."""
    data = bpy.data.lights.new(kind, kind)
    data.color = colour
    for name, value in values.items():
        setattr(data, name, value)
    o = bpy.data.objects.new(kind, data)
    scene.collection.objects.link(o)
    z = towards / np.linalg.norm(towards)
    x = np.cross((0.0, 1.0, 0.0), z) if abs(z[1]) < 0.9 else np.cross((1.0, 0.0, 0.0), z)
    x /= np.linalg.norm(x)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    matrix[:3, 3] = place
    o.matrix_world = Matrix(matrix.tolist())


def world(scene: Any, colour: tuple[float, ...], strength: float) -> None:
    """Light from everywhere, a little brighter towards the zenith."""
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    tree = scene.world.node_tree
    tree.nodes.clear()
    background = tree.nodes.new("ShaderNodeBackground")
    out = tree.nodes.new("ShaderNodeOutputWorld")
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    split = tree.nodes.new("ShaderNodeSeparateXYZ")
    where = tree.nodes.new("ShaderNodeTexCoord")
    ramp.color_ramp.elements[0].color = (*(0.8 * c for c in WHITE), 1)
    ramp.color_ramp.elements[1].color = (*colour, 1)
    tree.links.new(where.outputs["Generated"], split.inputs[0])
    tree.links.new(split.outputs["Z"], ramp.inputs[0])
    tree.links.new(ramp.outputs["Color"], background.inputs["Color"])
    background.inputs["Strength"].default_value = strength
    tree.links.new(background.outputs[0], out.inputs[0])


def develop(scene: Any, photo: Path, rng: np.random.Generator, samples: int) -> None:
    """Path trace, denoise, expose to a random brightness, and write through one of Blender's film
    curves.
    """
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = 0.02
    cycles.max_bounces = 5
    cycles.diffuse_bounces = 3
    cycles.sample_clamp_indirect = 5.0
    cycles.seed = int(rng.integers(1 << 20))
    cycles.use_denoising = True
    raw = photo.with_suffix(".exr")
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_depth = "32"
    scene.render.filepath = str(raw)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(raw))
    linear = np.array(image.pixels[:], np.float32).reshape(-1, 4)[:, :3]
    level = float(np.exp(np.log(np.maximum(linear @ (0.2126, 0.7152, 0.0722), 1e-4)).mean()))
    scene.view_settings.view_transform = str(rng.choice(["AgX", "Filmic", "Standard"]))
    scene.view_settings.exposure = math.log2(
        float(np.exp(rng.uniform(np.log(0.12), np.log(0.3)))) / level
    )
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_depth = "8"
    scene.render.image_settings.color_mode = "RGB"
    if scene.render.resolution_percentage != 100:
        image.scale(scene.render.resolution_x, scene.render.resolution_y)
    image.save_render(str(photo), scene=scene)
    raw.unlink()


# ---- shader nodes


def new_material() -> tuple[Any, Any, Any]:
    """A material with one Principled shader: the material, its nodes, the shader."""
    material = bpy.data.materials.new("surface")
    material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    shader = nodes.new("ShaderNodeBsdfPrincipled")
    out = nodes.new("ShaderNodeOutputMaterial")
    material.node_tree.links.new(shader.outputs[0], out.inputs["Surface"])
    return material, nodes, shader


def rgb(material: Any, colour: np.ndarray) -> Any:
    """A constant colour (3,), linear."""
    node = material.node_tree.nodes.new("ShaderNodeRGB")
    node.outputs[0].default_value = (*(float(c) for c in np.clip(colour, 0, 1)), 1.0)
    return node.outputs[0]


def mixed(material: Any, a: Any, b: Any, share: Any) -> Any:
    """Colour a where ``share`` is 0 and b where it is 1."""
    node = material.node_tree.nodes.new("ShaderNodeMix")
    node.data_type = "RGBA"
    ports = {"Factor_Float": share, "A_Color": a, "B_Color": b}
    for port in node.inputs:
        if port.identifier in ports:
            material.node_tree.links.new(ports[port.identifier], port)
    return next(port for port in node.outputs if port.identifier == "Result_Color")


def scaled(material: Any, colour: Any, factor: float) -> Any:
    """A colour times a number."""
    node = material.node_tree.nodes.new("ShaderNodeVectorMath")
    node.operation = "SCALE"
    node.inputs["Scale"].default_value = factor
    material.node_tree.links.new(colour, node.inputs[0])
    return node.outputs[0]


def add_bump(material: Any, shader: Any, height: Any, strength: float, distance: float) -> None:
    """Dents and bumps in the shading."""
    node = material.node_tree.nodes.new("ShaderNodeBump")
    node.inputs["Strength"].default_value = strength
    node.inputs["Distance"].default_value = distance
    material.node_tree.links.new(height, node.inputs["Height"])
    material.node_tree.links.new(node.outputs[0], shader.inputs["Normal"])


def random_albedo(rng: np.random.Generator) -> np.ndarray:
    """(3,) any everyday colour, linear."""
    return rng.uniform(0.03, 0.7) * rng.uniform(0.3, 1.0, 3)


if __name__ == "__main__":
    sys.exit(main())
