"""How well objects agree with the photo that they were made from: outlines, thin parts, colours,
pieces, and what they cost.

    python benchmarks/whole.py [--assets HELD_OUT/] [--objects 16] [--photos PHOTO ...]

Pictures: the bundled ones; each of the first ``--objects`` held-out assets (a folder of .npz files)
alone in a view of 512 pixels; photos whose masks lie beside them (NAME_rgb.*, NAME_seg.png). Each
is made by the default method with the product's own perception. Per group one row of means over
its objects, seen from the photo's camera:

* IoU of silhouette and mask, other objects' pixels left out;
* thin: share of the mask's parts narrower than 2/64 of the object that are covered (of those that
  have such parts), exactly and within a pixel;
* contour: mean distance of the outlines, in 1/64 of the object;
* colour error (of 255) and SSIM against the photo inside the masks, without light;
* one: share of the objects that are in one piece; triangles;
* seconds per object from volume to finished mesh, and the size of the GLB per object.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import torch
import trimesh
from scipy import ndimage
from skimage.metrics import structural_similarity

import maquette
from maquette.checkpoints.embedded import load_models
from maquette.data.assets import load_asset
from maquette.data.catalogue import AssetList, Catalogue
from maquette.data.layout import Placement
from maquette.data.scenes import ComposedScene
from maquette.data.views import ViewConfig, sample_view
from maquette.export.glb import glb_bytes
from maquette.geometry.transforms import similarity
from maquette.inputs import read_scene_input
from maquette.render.assemble import assemble
from maquette.render.rasterize import rasterize
from maquette.render.silhouette import silhouettes_alone
from maquette.render.texture import textured_albedo
from maquette.types import Instance, InstanceMask, Scene, SceneInput

VIEW = ViewConfig(size=512, elevation=(10.0, 40.0), cut=0.0, unmasked=0.0)
GRID = 64  # an object's longest side in the units of the table
THIN = 2.0  # of these units
LEAST_THIN = 30  # pixels


@dataclass(frozen=True)
class Agreement:
    """Of one object; nan where it cannot be said."""

    iou: float
    thin: float
    thin_nearly: float
    contour: float
    colour_error: float
    ssim: float
    one: float
    triangles: float


def bundled() -> Iterator[SceneInput]:
    """The pictures that come with the package."""
    assets = Path(str(files("maquette"))) / "assets"
    for folder in (assets / "demo", *sorted((assets / "examples").iterdir())):
        yield read_scene_input(folder / "photo.jpg", folder / "masks.png")


def held_out(folder: Path, count: int) -> Iterator[SceneInput]:
    """Objects of a folder, evenly spread over its names, each alone in a view."""
    paths = sorted(folder.glob("*.npz"))
    for path in paths[:: max(1, len(paths) // count)][:count]:
        asset = load_asset(path)
        library = Catalogue.of(AssetList((asset,)))
        lifted = similarity(1.0, None, np.array([0.0, -float(asset.vertices[:, 1].min()), 0.0]))
        scene = ComposedScene((Placement(0, lifted),), "alone")
        view = sample_view(scene, library, np.random.default_rng(len(path.name)), VIEW)
        yield SceneInput(view.image, (InstanceMask(1, view.instance == 1),), path.name)


def thin_parts(mask: np.ndarray, side: float) -> np.ndarray:
    """(H, W) bool: where a mask is narrower than THIN."""
    diameter = 2 * round(0.5 * THIN * side / GRID) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    return mask & (cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) == 0)


def outline(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels of a mask that touch what is outside."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def agreement(instance: Instance, seen: np.ndarray, colours: np.ndarray, given: SceneInput):
    """Of one object, from its silhouette (H, W) and the unlit picture (H, W, 3) of the scene."""
    masks = {mask.label: mask.mask for mask in given.masks}
    mask = masks[instance.label]
    others = np.any([m for label, m in masks.items() if label != instance.label], axis=0) & ~mask
    seen = seen & ~others
    rows, columns = np.nonzero(mask)
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    thin = thin_parts(mask, side)
    wide = cv2.dilate(seen.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    enough = thin.sum() >= LEAST_THIN
    photo = given.image.astype(float)
    similar = structural_similarity(given.image, colours, channel_axis=2, full=True)[1]
    return Agreement(
        (seen & mask).sum() / max(1, (seen | mask).sum()),
        seen[thin].mean() if enough else np.nan,
        wide[thin].mean() if enough else np.nan,
        _distance(outline(seen), outline(mask)) * GRID / side,
        np.abs(photo - colours)[mask & seen].mean() if (mask & seen).any() else np.nan,
        similar[mask].mean(),
        float(in_one_piece(instance)),
        len(instance.mesh.faces),
    )


def in_one_piece(instance: Instance) -> bool:
    """Whether the triangles of an object hang together; seams of its texture do not count."""
    mesh = instance.mesh.copy()
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    parts = trimesh.graph.connected_component_labels(mesh.face_adjacency, len(mesh.faces))
    return bool(parts.max() == 0)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    if not (a.any() and b.any()):
        return np.nan
    return 0.5 * float(
        ndimage.distance_transform_edt(~a)[b].mean() + ndimage.distance_transform_edt(~b)[a].mean()
    )


def unlit(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """What the scene's camera sees without light: colours (H, W, 3) uint8 and labels (H, W) int32,
    both 0 where there is nothing.
    """
    scene = scene.visible()
    mesh = assemble(scene.instances)
    buffers = rasterize(
        mesh.vertices,
        mesh.faces,
        scene.camera,
        vertex_colors=mesh.colors,
        face_instance=mesh.face_instance,
    )
    labels = np.array([i.label for i in scene.instances] + [0], np.int32)
    colours = textured_albedo(buffers, mesh, scene.camera)
    return np.rint(255 * colours).astype(np.uint8), labels[buffers.instance]


def examined(scene: Scene) -> list[Agreement]:
    """Of every object of a scene, seen from the photo's camera."""
    given = scene.input
    silhouettes = silhouettes_alone(scene)
    drawn, labels = unlit(scene)
    masked = np.any([mask.mask for mask in given.masks], axis=0)
    colours = np.where(masked[..., None], np.where(labels[..., None] > 0, drawn, 255), given.image)
    return [
        agreement(i, silhouettes[i.label], colours.astype(np.uint8), given) for i in scene.instances
    ]


def row(name: str, pictures: Iterator[SceneInput], models: object) -> None:
    """Print the means over all objects of some pictures."""
    found: list[Agreement] = []
    seconds = size = 0.0
    for given in pictures:
        scene = maquette.generate(given, models=models, seed=0)
        found += examined(scene)
        seconds += scene.provenance["seconds"]["mesh"]
        size += len(glb_bytes(scene))
    means = np.nanmean([[getattr(a, f.name) for f in fields(a)] for a in found], axis=0)
    iou, thin, nearly, contour, error, ssim, one, triangles = means
    print(
        f"| {name} ({len(found)}) | {iou:.3f} | {thin:.3f} ({nearly:.3f}) | {contour:.3f} "
        f"| {error:.1f} | {ssim:.3f} | {one:.2f} | {triangles:.0f} | {seconds / len(found):.2f} "
        f"| {size / len(found) / 1024:.0f} |",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--assets", type=Path, help="folder of held-out .npz assets")
    parser.add_argument("--objects", type=int, default=16)
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="NAME_rgb.* files")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    models = load_models(None)
    maquette.generate(next(bundled()), models=models, seed=0)  # compiles what is compiled
    print(
        "| pictures (objects) | IoU | thin (within a pixel) | contour | colour error | SSIM "
        "| one | triangles | s | kB |"
    )
    print("|" + "---|" * 10)
    row("bundled", bundled(), models)
    if options.assets:
        row("held-out", held_out(options.assets, options.objects), models)
    if options.photos:
        beside = (
            read_scene_input(p, p.with_name(p.stem.removesuffix("_rgb") + "_seg.png"))
            for p in options.photos
        )
        row("photos", beside, models)


if __name__ == "__main__":
    main()
