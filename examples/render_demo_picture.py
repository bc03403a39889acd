"""Render the pictures that `maquette demo` and the page use: five procedural objects on a floor,
`photo.jpg` and `masks.png`, with their truth: `depth.png`, `camera.json` and `truth.glb`.

    python examples/render_demo_picture.py FOLDER [SEED] [STAGE]    (bundled: room with seed 1,
    table with 4, garden with 3)

The stage is room, table or garden; the seed chooses the objects' looks, the light, the floor and
the camera.
"""

import json
import sys
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from maquette import InstanceMask, Scene
from maquette.data.catalogue import AssetList, Catalogue
from maquette.data.layout import Placement
from maquette.data.procedural import procedural_asset
from maquette.data.scenes import ComposedScene
from maquette.data.views import ViewConfig, sample_view
from maquette.geometry.transforms import rotation_y, similarity
from maquette.masks import write_masks
from maquette.stages.place import place

# family, x, z, size of the longest side, degrees about +Y
STAGES = {
    "room": (
        ("chair", -0.75, -0.1, 1.0, 35),
        ("plant", 0.75, -0.5, 1.15, 0),
        ("lamp", 0.0, -0.75, 1.25, 0),
        ("crate", 0.15, 0.1, 0.5, 20),
        ("car", 0.7, 0.55, 0.6, -50),
    ),
    "table": (
        ("bottle", -0.55, -0.35, 1.0, 0),
        ("vase", 0.55, -0.4, 0.85, 0),
        ("books", 0.0, -0.45, 0.6, 25),
        ("mug", -0.25, 0.3, 0.42, 60),
        ("bowl", 0.5, 0.3, 0.5, 0),
    ),
    "garden": (
        ("tree", -0.8, -0.5, 1.4, 0),
        ("bench", 0.35, -0.6, 1.15, -15),
        ("quadruped", -0.3, 0.35, 0.62, 50),
        ("mushroom", 0.95, 0.1, 0.5, 0),
        ("truck", 0.45, 0.6, 0.6, 125),
    ),
}

folder = Path(sys.argv[1])
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
STAGE = STAGES[sys.argv[3] if len(sys.argv) > 3 else "room"]
rng = np.random.default_rng(seed)
assets = tuple(procedural_asset(rng, family) for family, *_ in STAGE)
heights = [size * np.ptp(asset.vertices[:, 1]) for asset, (_, _, _, size, _) in zip(assets, STAGE)]
placements = tuple(
    Placement(k, similarity(size, rotation_y(np.deg2rad(degrees)), (x, float(height) / 2, z)))
    for k, (height, (_, x, z, size, degrees)) in enumerate(zip(heights, STAGE))
)
config = ViewConfig(
    640,
    elevation=(15, 28),
    field_of_view=(32, 45),
    fill=(0.84, 0.9),
    off_centre=0,
    cut=0,
    unmasked=0,
    ground=1,
    wall=1,
)
view = sample_view(ComposedScene(placements, "demo"), Catalogue.of(AssetList(assets)), rng, config)

masks = []
for label, placement in enumerate(view.placements, start=1):
    masks.append(InstanceMask(label, view.instance == label, STAGE[placement.asset][0]))
folder.mkdir(parents=True, exist_ok=True)
Image.fromarray(view.image).save(folder / "photo.jpg", quality=92)
write_masks(masks, folder / "masks.png", overwrite=True)

# What is known of a picture that was rendered: depth and camera in metres, and the scene itself.
metres = 1.0 / np.cbrt(np.linalg.det(view.scene_from_world[:3, :3]))
depth = np.where(np.isfinite(view.depth), view.depth * metres * 1000.0, 0.0)
Image.fromarray(np.rint(depth).astype(np.uint16)).save(folder / "depth.png", optimize=True)
(fx, _, cx), (_, fy, cy), _ = view.camera.intrinsics.tolist()
size = {"width": view.camera.width, "height": view.camera.height}
camera = {"fx": fx, "fy": fy, "cx": cx, "cy": cy} | size
(folder / "camera.json").write_text(json.dumps(camera, indent=1) + "\n")
truth = []
for mask, placement in zip(masks, view.placements):
    asset = assets[placement.asset]
    mesh = trimesh.Trimesh(asset.vertices, asset.faces, vertex_colors=asset.colors, process=False)
    mesh.apply_transform(view.scene_from_world @ placement.world_from_asset)
    truth.append(place(mask.label, mesh, 0, name=mask.name, node=mask.name))
scene = Scene(
    tuple(truth), view.camera, ground_height=view.ground_height, metres_per_unit=float(metres)
)
scene.export(folder / "truth.glb")
