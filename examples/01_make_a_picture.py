"""Compose a random scene of procedural objects, take a picture of it, and keep the truth.

This is what training does thousands of times. The later examples use the files that this one
writes: `library/` (objects and their signed distance fields), `photo.png`, `masks.png` and
`truth.glb`.
"""

import numpy as np
import trimesh
from PIL import Image

import maquette
from maquette.data.catalogue import Catalogue
from maquette.data.library import build_library
from maquette.data.procedural import procedural_asset
from maquette.data.scenes import compose_random
from maquette.data.views import ViewConfig, sample_view
from maquette.masks import write_masks
from maquette.stages.place import place

FAMILIES = ("chair", "table", "mug", "vase", "lamp", "car")

rng = np.random.default_rng(4)
library = build_library(
    [procedural_asset(rng, family, face_budget=1500) for family in FAMILIES], "library"
)

rng = np.random.default_rng(10)
catalogue = Catalogue.of(library)  # measures every object once
scene = compose_random(catalogue, rng)
view = sample_view(scene, catalogue, rng, ViewConfig(size=192, cut=0.0))

Image.fromarray(view.image).save("photo.png")
visible = range(1, len(view.placements) + 1)
names = [library.names[placement.asset] for placement in view.placements]
masks = [
    maquette.InstanceMask(label, view.instance == label, name)
    for label, name in zip(visible, names)
]
write_masks(masks, "masks.png", overwrite=True)

truth = []
for label, placement in zip(visible, view.placements):
    asset = library.asset(placement.asset)
    mesh = trimesh.Trimesh(asset.vertices, asset.faces, vertex_colors=asset.colors, process=False)
    mesh.apply_transform(view.scene_from_world @ placement.world_from_asset)
    truth.append(place(label, mesh, seed=0))
maquette.Scene(tuple(truth), view.camera, ground_height=view.ground_height).export("truth.glb")
print(f"photo.png, masks.png, truth.glb: {len(masks)} objects: {', '.join(names)}")
