"""Small sound files of every kind that maquette reads, which ``fuzz`` damages.

Everything is made here, with maquette's own writers where there are any, and is the same at every
call; only the published networks come from tests/golden.
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from PIL import Image, ImageCms
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from maquette.checkpoints.store import save_model
from maquette.document.scene_json import save
from maquette.evaluate.cases import node_name
from maquette.export import export_scene
from maquette.export.gltf import GltfFile
from maquette.geometry.transforms import similarity
from maquette.masks.write import write_masks
from maquette.models.image_encoder import GeometryNet, GeometryNetConfig
from maquette.models.text_to_image import TextToImage, TextToImageConfig
from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig
from maquette.types import Camera, Instance, InstanceMask, Scene, SceneInput

SIZE = (48, 64)  # (H, W) of every picture
GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
LARGEST_FOLDER = 450_000  # bytes of a published network that is tried; larger ones take too long
ROOM = "house/room"
SHARES = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])  # intrinsics over the picture's sides


@dataclass(frozen=True)
class Seed:
    """The files of one sound input, by their names, and the one that a reader is given ("" = their
    folder).
    """

    entry: str
    files: dict[str, bytes]


def seeds_of(write: Callable[[Path], None]) -> list[Seed]:
    """What a writer writes into an empty folder: each file and each folder in it is a seed."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return [_seed(path) for path in sorted(Path(folder).iterdir())]


def _seed(path: Path) -> Seed:
    """A file alone, or a folder, of which a reader is given the file "entry.*" if there is one."""
    if path.is_file():
        return Seed(path.name, {path.name: path.read_bytes()})
    files = sorted(file for file in path.rglob("*") if file.is_file())
    contents = {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    entries = [name for name in contents if name.startswith("entry.") and "mtl" not in name]
    return Seed(entries[0] if entries else "", contents)


def picture() -> Image.Image:
    """A photo of slopes with a little noise."""
    height, width = SIZE
    slopes = np.add.outer(np.arange(height) * 4, np.arange(width) * 3)[..., None]
    noise = np.random.default_rng(0).integers(0, 30, (height, width, 3))
    return Image.fromarray((slopes + noise).clip(0, 255).astype(np.uint8))


def labels() -> np.ndarray:
    """Three boxes (H, W) uint8, numbered from 1."""
    found = np.zeros(SIZE, np.uint8)
    found[5:20, 5:25] = 1
    found[10:40, 35:60] = 2
    found[25:45, 5:25] = 3
    return found


def instance_masks() -> tuple[InstanceMask, ...]:
    """The boxes of ``labels`` with names."""
    names = ((1, "chair"), (2, "ta/ble"), (3, "dög"))
    return tuple(InstanceMask(number, labels() == number, name) for number, name in names)


def write_photos(folder: Path) -> None:
    """A photo in each format and colour mode, with metadata where the format has any."""
    image = picture()
    grey = np.asarray(image.convert("L"))
    for suffix in ("png", "jpg", "webp", "tif"):
        image.save(folder / f"about.{suffix}", **_metadata())
    for suffix in ("png", "bmp", "gif", "ppm", "tif"):
        image.save(folder / f"plain.{suffix}")
    image.save(folder / "packed.tif", compression="tiff_lzw")
    image.save(folder / "pages.tif", save_all=True, append_images=[image])
    image.save(folder / "moving.webp", save_all=True, append_images=[image.rotate(5)])
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("LAB").save(folder / "lab.tif")
    image.convert("L").save(folder / "grey.jpg", progressive=True)
    Image.fromarray(np.dstack([image, labels() * 80])).save(folder / "rgba.png")
    Image.fromarray(grey.astype(np.uint16) * 200).save(folder / "deep.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(folder / "floats.tif")


def _metadata() -> dict[str, bytes]:
    """EXIF data of a camera that was turned, and a colour profile."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    exif[0x8769] = {0xA405: 35, 0x920A: 50.0, 0xA20E: 100.0, 0xA210: 2}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {"exif": exif.tobytes(), "icc_profile": profile}


def write_mask_files(folder: Path) -> None:
    """Masks in each form that maquette writes, and as other tools write them."""
    masks = instance_masks()
    forms = {"label": ".png", "rgb": ".png", "folder": "", "npz": ".npz"}
    forms |= {"coco": ".json", "coco-rle": ".json", "labelme": ".json"}
    for form, suffix in forms.items():
        write_masks(masks, folder / f"{form}{suffix}", form, image_name="photo.png")
    stack = np.stack([mask.mask for mask in masks])
    np.save(folder / "labels.npy", labels())
    np.save(folder / "stack.npy", stack)
    np.savez(folder / "stack.npz", masks=stack)
    pages = [Image.fromarray(page) for page in stack]
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:])
    Image.fromarray(labels() * 60).save(folder / "grey.webp", lossless=True)
    _write_annotations(folder)


def _write_annotations(folder: Path) -> None:
    """Masks as the programs write them with which people mark objects."""
    for name, document in _annotations().items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    (folder / "cvat.xml").write_text(_CVAT)
    yolo = folder / "yolo"
    yolo.mkdir()
    (yolo / "entry.txt").write_text(
        "0 0.1 0.1 0.4 0.1 0.4 0.4\n1 0.5 0.2 0.9 0.2 0.9 0.8 0.5 0.8\n"
    )
    (yolo / "classes.txt").write_text("crate\nplank\n")
    shutil.copytree(yolo, folder / "yolo-data", ignore=shutil.ignore_patterns("classes.txt"))
    (folder / "yolo-data" / "data.yaml").write_text("nc: 2\nnames:\n  0: crate\n  1: 'plank'\n")
    _write_panoptic(folder / "panoptic")


_POINTS = [[5, 5], [25, 5], [25, 20], [5, 20]]
_CVAT = """<?xml version="1.0"?><annotations>
<image name="photo.png" width="64" height="48">
<polygon label="crate" points="5,5;25,5;25,20;5,20"/>
<ellipse label="ball" cx="40" cy="20" rx="9" ry="7"/>
<mask label="m" rle="3, 6, 7" left="10" top="30" width="4" height="4"/>
</image></annotations>"""


def write_geometry(folder: Path) -> None:
    """Depth maps, maps of points and cameras, named by the option that takes them."""
    _write_depth_maps(folder)
    _write_cameras(folder)


def _write_depth_maps(folder: Path) -> None:
    depth = np.where(labels() > 0, 1.5, 2.0) + np.linspace(0, 0.3, SIZE[1])
    Image.fromarray((1000 * depth).astype(np.uint16)).save(folder / "depth_mm.png")
    Image.fromarray(depth.astype(np.float32)).save(folder / "depth_m.tif")
    np.save(folder / "depth_array.npy", depth)
    sound = depth < 2.2
    np.savez(folder / "depth_moge.npz", depth=depth, mask=sound, intrinsics=SHARES)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    rays = np.stack([(columns - SIZE[1] / 2) / 70, (rows - SIZE[0] / 2) / 70], axis=-1)
    points = np.concatenate([rays, np.ones((*SIZE, 1))], axis=-1) * depth[..., None]
    np.save(folder / "points.npy", points)


def _write_cameras(folder: Path) -> None:
    width, height = SIZE[1], SIZE[0]
    centre = f"{width / 2} {height / 2}"
    numbers = {"fx": 70, "fy": 70, "cx": width / 2, "cy": height / 2, "w": width, "h": height}
    cameras = {
        "intrinsics_four.txt": f"70 70 {centre}",
        "intrinsics_colmap.txt": f"1 PINHOLE {width} {height} 70 70 {centre}",
        "intrinsics.json": json.dumps(numbers),
        "intrinsics_frames.json": json.dumps({"frames": [{"file_path": "photo.png"} | numbers]}),
        "intrinsics.yaml": "".join(f"{key}: {value}\n" for key, value in numbers.items()),
    }
    for name, text in cameras.items():
        (folder / name).write_text(text)
    np.save(folder / "intrinsics_shares.npy", SHARES)


def _annotations() -> dict[str, Any]:
    """Documents of annotation tools: polygons, ellipses, circles and brush strokes."""
    circle = {"label": "ball", "points": [[40, 20], [49, 20]], "shape_type": "circle"}
    crate = {"label": "crate", "points": _POINTS, "shape_type": "polygon", "group_id": None}
    labelme = {"version": "5.5.0", "imageHeight": 48, "imageWidth": 64}
    polygon = {"name": "polygon", "all_points_x": [5, 25, 25], "all_points_y": [5, 5, 20]}
    regions = [
        {"shape_attributes": shape, "region_attributes": {"name": "a"}}
        for shape in (polygon, {"name": "circle", "cx": 40, "cy": 20, "r": 9})
    ]
    metadata = {"photo.png9": {"filename": "photo.png", "size": 9, "regions": regions}}
    return {
        "labelme-shapes": labelme | {"shapes": [crate, circle]},
        "via": metadata,
        "via-project": {"_via_img_metadata": metadata, "_via_settings": {}},
        "label-studio": [_label_studio_task()],
    }


def _label_studio_task() -> dict[str, Any]:
    values = {
        "polygonlabels": {"points": [[10, 10], [40, 10], [40, 40]]},
        "ellipselabels": {"x": 60, "y": 50, "radiusX": 10, "radiusY": 15},
        "brushlabels": {"format": "rle", "rle": [0, 0, 48, 0, 57, 27, 252, 190, 0, 95, 255, 0]},
    }
    results = [
        {
            "type": kind,
            "original_width": 64,
            "original_height": 48,
            "value": {**value, kind: ["crate"]},
        }
        for kind, value in values.items()
    ]
    polygon_and_ellipse = results[:2]
    return {
        "data": {"image": "/data/photo.png"},
        "annotations": [{"result": polygon_and_ellipse}, {"result": results}],
    }


def _write_panoptic(folder: Path) -> None:
    folder.mkdir()
    Image.fromarray(np.dstack([labels(), labels() * 0, labels() * 0])).save(folder / "photo.png")
    segments = [{"id": number, "category_id": 1} for number in (1, 2, 3)]
    annotation = {"image_id": 1, "file_name": "photo.png", "segments_info": segments}
    categories = [{"id": 1, "name": "crate", "isthing": 1}]
    document = {"annotations": [annotation], "categories": categories}
    (folder / "entry.json").write_text(json.dumps(document))


def scene() -> Scene:
    """Two objects, one with colours and a state, one with a texture, and what they were made of."""
    box = trimesh.creation.box()
    box.visual.vertex_colors = [200, 10, 20, 255]
    ball = trimesh.creation.icosphere(1)
    uv = np.random.default_rng(1).random((len(ball.vertices), 2))
    ball.visual = TextureVisuals(uv=uv, material=PBRMaterial(baseColorTexture=picture()))
    state = {"latent": np.ones((4, 4), np.float16), "steps": np.arange(3)}
    camera = Camera(np.array([[60, 0, 32], [0, 60, 24], [0, 0, 1.0]]), np.eye(4), 64, 48)
    left = similarity(0.3, None, np.array([-0.4, 0, -2]))
    right = similarity(0.3, None, np.array([0.4, 0, -2]))
    return Scene(
        instances=(
            Instance(1, box, left, seed=7, confidence=0.9, name="chair", state=state),
            Instance(2, ball, right, seed=8),
        ),
        camera=camera,
        input=SceneInput(np.asarray(picture()), instance_masks(), "photo.png"),
        provenance={"method": "iscene", "options": {"steps": 6}},
        ground_height=-0.5,
    )


def write_scenes(folder: Path) -> None:
    """A scene document with its files, and one without their sums, whose files are read whatever
    they hold.
    """
    save(scene(), folder / "signed" / "entry.json")
    document = save(scene(), folder / "unsigned" / "entry.json")
    content = json.loads(document.read_text(encoding="utf-8"))
    document.write_text(json.dumps(content | {"files": {}}))


def write_mesh_files(folder: Path) -> None:
    """Each format, as maquette and as trimesh write it, and glTF in its less common forms."""
    for suffix in ("glb", "obj", "ply", "stl"):
        place = folder / suffix
        place.mkdir()
        export_scene(scene(), place / f"entry.{suffix}")
    boxes = _boxes()
    boxes.export(folder / "boxes.glb")
    text = folder / "gltf"
    text.mkdir()
    for name, content in boxes.export(file_type="gltf").items():
        (text / name.replace("model.gltf", "entry.gltf")).write_bytes(content)
    ball = trimesh.creation.icosphere(1)
    ball.export(folder / "text.ply", encoding="ascii")
    ball.export(folder / "text.stl", file_type="stl_ascii")
    ball.export(folder / "text.off")
    (folder / "quads.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0.2 0.1 0\nf 1 2 3 4\nf 1 2 5 3 4\nf -1 -2 -3\n"
    )
    _write_polygons(folder)
    for name, content in _uncommon_gltf().items():
        (folder / f"{name}.glb").write_bytes(content)


DART = ((0, 0), (2, 1), (0, 2), (0.5, 1))  # a concave polygon


def _write_polygons(folder: Path) -> None:
    """Concave faces beside a triangle: PLY as text and in bytes, OFF, OBJ that counts back."""
    text = "\n".join(f"{x} {y} 0" for x, y in DART)
    faces = "4 0 1 2 3\n3 0 1 2\n"
    (folder / "dart.off").write_text(f"OFF\n4 2 0\n{text}\n{faces}")
    vertices = text.replace("\n", "\nv ")
    back = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf -4/-4 -3/-3 -2/-2 -1/-1\nf -4 -3 -2\n"
    (folder / "back.obj").write_text(f"o a\nv {vertices}\n{back}o b\nv {vertices}\n{back}")
    head = (
        "ply\nformat {}\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    )
    head += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    (folder / "dart.ply").write_text(head.format("ascii 1.0") + text + "\n" + faces)
    for order, name in (("<", "little"), (">", "big")):
        points = np.array([(*corner, 0) for corner in DART], f"{order}f4").tobytes()
        rows = struct.pack(f"{order}B4iB3i", 4, 0, 1, 2, 3, 3, 0, 1, 2)
        binary = head.format(f"binary_{name}_endian 1.0").encode() + points + rows
        (folder / f"dart-{name}.ply").write_bytes(binary)


def _boxes() -> trimesh.Scene:
    """Three boxes before a camera, named as the masks' nodes."""
    found = trimesh.Scene()
    for mask in instance_masks():
        place = similarity(1.0, None, np.array([mask.label * 0.4 - 0.8, 0, 2]))
        box = trimesh.creation.box((0.3, 0.3, 0.3))
        found.add_geometry(box, node_name=node_name(mask.label), transform=place)
    return found


CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def _uncommon_gltf() -> dict[str, bytes]:
    """GLB files with strips, whole numbers, sparse accessors, skins, instances and, where the
    extra package is there, Draco.
    """
    makers = {
        "strip": _strip_gltf,
        "quantised": _quantised_gltf,
        "sparse": _sparse_gltf,
        "skin": _skin_gltf,
        "instanced": _instanced_gltf,
        "draco": _draco_gltf,
    }
    return {name: content for name, make in makers.items() if (content := make())}


def _packed(file: GltfFile, primitive: dict[str, Any], extension: str = "", **node: Any) -> bytes:
    mesh = file.add("meshes", primitives=[primitive])
    root = file.add("nodes", name="sheet", mesh=mesh, **node)
    file.add("scenes", nodes=[root, *range(root)])
    named = {"extensionsUsed": [extension], "extensionsRequired": [extension]}
    return file.packed("maquette", **(named if extension else {}))


def _sheet(file: GltfFile, corners: np.ndarray = CORNERS, **attributes: int) -> dict[str, Any]:
    positions = {"POSITION": file.vertices(corners, bounds=True)}
    return {"attributes": positions | attributes, "indices": file.triangles(FACES, len(corners))}


def _strip_gltf() -> bytes:
    file = GltfFile()
    return _packed(file, _sheet(file) | {"mode": 5})


def _quantised_gltf() -> bytes:
    file = GltfFile()
    return _packed(file, _sheet(file, (CORNERS * 100).astype(np.int16)), "KHR_mesh_quantization")


def _sparse_gltf() -> bytes:
    file = GltfFile()
    primitive = _sheet(file)
    indices = file.view(np.array([1], np.uint16).tobytes())
    values = file.view(np.ones((1, 3), np.float32).tobytes())
    file.arrays["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": indices, "componentType": 5123},
        "values": {"bufferView": values},
    }
    return _packed(file, primitive)


def _skin_gltf() -> bytes:
    file = GltfFile()
    joints = file.vertices(np.zeros((4, 4), np.uint8))
    weights = file.vertices(np.eye(4, dtype=np.float32)[[0] * 4])
    primitive = _sheet(file, JOINTS_0=joints, WEIGHTS_0=weights)
    joint = file.add("nodes", name="joint", translation=[0, 1, 0])
    view = file.view(np.eye(4, dtype=np.float32).tobytes())
    about = {"bufferView": view, "componentType": 5126, "count": 1, "type": "MAT4"}
    matrices = file.add("accessors", **about)
    skin = file.add("skins", joints=[joint], inverseBindMatrices=matrices)
    return _packed(file, primitive, skin=skin)


def _instanced_gltf() -> bytes:
    file = GltfFile()
    places = file.vertices(CORNERS)
    name = "EXT_mesh_gpu_instancing"
    instances = {name: {"attributes": {"TRANSLATION": places}}}
    return _packed(file, _sheet(file), name, extensions=instances)


def _draco_gltf() -> bytes | None:
    try:
        import DracoPy
    except ImportError:
        return None
    file = GltfFile()
    content = DracoPy.encode(CORNERS, FACES)
    name = "KHR_draco_mesh_compression"
    packed = {"bufferView": file.view(content), "attributes": {"POSITION": 0}}
    position = file.add("accessors", componentType=5126, count=4, type="VEC3")
    faces = file.add("accessors", componentType=5123, count=6, type="SCALAR")
    primitive = {"attributes": {"POSITION": position}, "indices": faces}
    return _packed(file, primitive | {"extensions": {name: packed}}, name)


def write_evaluation_folders(folder: Path) -> None:
    """A scene of the plain layout."""
    place = folder / "set" / "one"
    place.mkdir(parents=True)
    picture().save(place / "photo.png")
    write_masks(instance_masks(), place / "masks.json", image_name="photo.png")
    _boxes().export(place / "truth.glb")
    camera = {"width": 64, "height": 48, "intrinsics": [[60, 0, 32], [0, 60, 24], [0, 0, 1]]}
    camera["world_from_camera"] = np.eye(4).tolist()
    (place / "camera.json").write_text(json.dumps(camera))
    (place / "labels.json").write_text(json.dumps({"1": node_name(1)}))


def write_midi_rooms(folder: Path) -> None:
    """A room of MIDI's 3D-FRONT, with a mesh and with surfaces."""
    root = folder / "front"
    places = {kind: root / f"3D-FRONT-{kind}" / ROOM for kind in ("RENDER", "SURFACE", "SCENE")}
    for place in places.values():
        place.mkdir(parents=True)
    (root / "midi_room_ids.json").write_text(json.dumps([ROOM]))
    objects = ["Chair_1", "Table_2", "Lamp_3"]
    (root / "midi_furniture_ids.json").write_text(json.dumps([objects]))
    picture().save(places["RENDER"] / "render_0000.webp")
    Image.fromarray(labels()).save(places["RENDER"] / "semantic_0000.png")
    trimesh.creation.box().export(places["SCENE"] / "Chair_1.glb")
    points = np.random.default_rng(2).normal(size=(50, 3))
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    surface = {"surface_points": points, "surface_normals": normals}
    for name in objects[1:]:
        np.save(places["SURFACE"] / f"{name}.npy", surface, allow_pickle=True)


def write_weights(folder: Path) -> None:
    """Tiny networks of several kinds as maquette stores them."""
    vae = VolumeVAEConfig(
        resolution=8, latent_channels=2, encoder_channels=(8, 8), decoder_channels=(8, 8)
    )
    encoder = GeometryNetConfig(size=32, widths=(8, 8, 8, 8), blocks=1, heads=2)
    painter = TextToImageConfig(
        ("a", "red"), 16, 4, 8, word_blocks=1, word_heads=2, widths=(8, 8, 8), blocks=1, heads=2
    )
    networks = {
        "vae": lambda: VolumeVAE(vae),
        "encoder": lambda: GeometryNet(encoder),
        "painter": lambda: TextToImage(painter),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, make in networks.items():
            save_model(folder / f"{name}.safetensors", make(), {"steps": 3})


def write_published(folder: Path) -> None:
    """The smaller ones of the recorded published networks."""
    for place in sorted(GOLDEN.iterdir()):
        files = sorted(place.glob("*.*"))
        recorded = (place / "config.json").is_file()
        if recorded and sum(file.stat().st_size for file in files) < LARGEST_FOLDER:
            shutil.copytree(place, folder / place.name)
