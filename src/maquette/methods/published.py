"""What published models share: weights that are fetched, a memory plan, and meshes in a cube of
their own, of which nobody knows where the camera stands.

In the flow: ``checkpoints.released.Networks`` and a photo with masks -> upright meshes;
``in_scene`` turns them into the scene frame and colours what has no colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NoReturn, Protocol

import numpy as np
import torch
import trimesh
from torch import Tensor
from trimesh.visual.color import ColorVisuals

from maquette.checkpoints.catalogue import release
from maquette.checkpoints.embedded import PERCEPTION, load_models
from maquette.checkpoints.released import Networks, PublishedSet, open_release
from maquette.document.appearance import vertex_colors_of
from maquette.errors import InputError
from maquette.geometry.cameras import moved
from maquette.geometry.transforms import transform_points
from maquette.methods.base import (
    Method,
    OpenMethod,
    Progress,
    UprightMesh,
    Watch,
    Wishes,
    Workload,
)
from maquette.methods.decoded import field_mesh
from maquette.models.conditioning import letterboxed_camera
from maquette.render.assemble import assemble
from maquette.render.rasterize import rasterize
from maquette.stages.colour import project_colours
from maquette.stages.frame import with_background
from maquette.stages.perceive import Perception
from maquette.stages.viewpoint import normalising, place_alone, placed, scene_frame
from maquette.types import Camera, Failure, Instance, SceneInput, StrPath

EMPTY = "the model left its cube empty; try another seed"
CELLS = 256  # along the side of the grid on which a field is asked


class MakesMeshes(Protocol):
    """All objects of a photo as upright meshes, each as soon as it is decoded."""

    def __call__(
        self, networks: Networks, given: SceneInput, wishes: Wishes, progress: Progress, /
    ) -> Iterator[UprightMesh | Failure]:
        """Make them."""


@dataclass(frozen=True)
class PublishedMethod:
    """The networks of a release, and the function that makes meshes with them."""

    name: str  # of the release, too
    make: MakesMeshes
    kinds: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()
    tuned: ClassVar[Callable[..., Method] | None] = None

    def load(self, weights: StrPath | None, device: torch.device) -> PublishedSet:
        """The release in a folder, by default where it was fetched to, and the embedded weights of
        perception. Raises CheckpointError.
        """
        found = open_release(release(self.name), weights)
        return PublishedSet(found, load_models(None, (PERCEPTION,)))

    def open(
        self,
        weights: PublishedSet,
        device: torch.device,
        work: Workload,
    ) -> OpenMethod:
        """Plan the memory; networks are read when a stage needs them."""
        networks = weights.networks(device, work.objects, work.memory, work.precision)

        def make(
            perception: Perception, wishes: Wishes, watch: Watch
        ) -> Iterator[UprightMesh | Failure]:
            return self.make(networks, perception.given, wishes, watch.progress)

        def remake(*asked: object) -> NoReturn:
            raise InputError(f"{self.name} makes whole scenes only; generate again")

        return OpenMethod(make, remake, lambda: {"memory": networks.report()})


# ---- what several makers do


def upright(
    label: int,
    seed: int,
    mesh: trimesh.Trimesh | None,
    **form: bool,
) -> UprightMesh | Failure:
    """A decoded mesh, or the Failure of an object without a surface."""
    if mesh is None:
        return Failure(label, "decode", EMPTY)
    return UprightMesh(label, seed, mesh, **form)


def in_parts(
    networks: Networks,
    function: Callable[[Tensor], Tensor],
    rows: Tensor,
    most: int | None = None,
) -> Tensor:
    """A function of rows (N, ...), given as many at once as the memory plan allows, ``most`` at
    most.
    """
    size = networks.plan.batch or len(rows)
    parts = rows.split(min(size, most or size))
    return torch.cat([function(part.to(networks.device)) for part in parts])


def field_meshes(
    networks: Networks, latents: Mapping[int, Tensor], progress: Progress
) -> Iterator[tuple[int, trimesh.Trimesh | None]]:
    """The surface of every latent's field by label, one after the other; None where there
    is none.
    """
    with networks.stage("mesh", "vae") as (vae,):
        for done, (label, latent) in enumerate(latents.items()):
            progress("mesh", done / len(latents))
            yield label, field_mesh(vae, latent, CELLS, networks.plan.points)
    progress("mesh", 1.0)


# ---- into the scene frame


def in_scene(
    meshes: Sequence[UprightMesh], perception: Perception
) -> tuple[tuple[Instance, ...], Camera]:
    """The instances in the scene frame, and the camera of the photo there. What has no colour gets
    the photo's.
    """
    masks = {mask.label: mask for mask in perception.given.masks}
    by_label = {made.label: made.mesh for made in meshes}
    if meshes[0].together:
        frame, camera = scene_frame(by_label, perception.given.masks, perception.camera)
        frames = dict.fromkeys(by_label, frame)
    else:
        frames = {
            label: place_alone(mesh, masks[label], perception) for label, mesh in by_label.items()
        }
        frames, camera = _centred(by_label, frames, perception.camera)
    seen = replace(perception, camera=camera)
    instances = []
    for made in meshes:
        name = masks[made.label].name
        instances.append(placed(made.label, made.mesh, frames[made.label], made.seed, name=name))
    if not meshes[0].coloured:
        instances = painted(instances, seen)
    return tuple(instances), camera


def _centred(
    meshes: Mapping[int, trimesh.Trimesh], frames: Mapping[int, np.ndarray], camera: Camera
) -> tuple[dict[int, np.ndarray], Camera]:
    """The same scene and camera with its box at the origin and its longest side 1, as the scene
    frame is defined.
    """
    points = [
        transform_points(frames[label], np.asarray(mesh.vertices)) for label, mesh in meshes.items()
    ]
    new_from_old = normalising(points, np.eye(3))
    centred = {label: new_from_old @ frame for label, frame in frames.items()}
    return centred, moved(camera, new_from_old)


def painted(instances: Sequence[Instance], perception: Perception) -> list[Instance]:
    """Instances with the photo's colours where it shows them, and the mean colour of their pixels
    elsewhere.
    """
    whole = assemble(instances)
    camera = letterboxed_camera(perception.camera, perception.picture)
    drawn = rasterize(whole.vertices, whole.faces, camera)
    seen = replace(perception, depth=with_background(drawn.depth))
    masks = {mask.label: mask.mask for mask in perception.given.masks}
    done = []
    for instance in instances:
        mesh = instance.mesh.copy()
        mesh.apply_transform(instance.world_from_instance)
        mean = perception.photo[masks[instance.label]].mean(0)
        colours = vertex_colors_of(mesh)
        colours[:, :3] = mean.round()
        mesh.visual = ColorVisuals(mesh, vertex_colors=colours)
        mesh = project_colours(mesh, instance.label, seen)
        # colours only: the shape stays as it was, to the bit
        mesh.vertices = np.asarray(instance.mesh.vertices)
        done.append(replace(instance, mesh=mesh))
    return done
