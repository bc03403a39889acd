"""Finished meshes -> where they stand so that they look like the photo: the second stage of
ComboVerse without its models.

In the flow: ``alone`` makes the meshes and says where to start; here scale, rotation and
translation of every object descend on the reference loss of ComboVerse (arXiv 2403.12409, section
3.3): 1000 |RGB difference| + 1000 |alpha difference| in the view of the photo, as means over
pixels. What else should pull, such as score distillation on random views, comes as a callback
(``distil``).

Adam with the rates of the paper: 0.01 for the depth of an object and 0.001 for everything else.
Lengths are in units of the longest side of the starting layout's box, so the rates mean the same in
every frame; scale is a logarithm, rotation is in radians. Two things differ from the paper. Depth
moves an object along its own line of sight, so that it does not lose its place in the picture by
coming nearer. And the comparison starts blurred, so that objects feel outlines that they do not
touch yet, and hidden ones the depth at which they are seen.

One view cannot tell a small near object from a large far one. What it can tell is who hides whom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
import trimesh
from scipy.spatial.transform import Rotation
from torch import Tensor

from maquette.document.appearance import vertex_colors_of
from maquette.errors import InputError, present
from maquette.geometry.cameras import resized
from maquette.geometry.transforms import scale_of, similarity
from maquette.methods.comboverse.soft import SoftImage, gaussian_blur, soft_render
from maquette.photos.pixels import scaled_size
from maquette.types import Camera, SceneInput

MOVES = ("depth", "place", "scale", "rotation", "yaw")
NEAREST = 0.05  # share of its first distance below which no object comes to the camera


@dataclass(frozen=True, eq=False)
class MeshParts:
    """N meshes side by side, each centred on its own box. Tensors of the renderer's precision,
    float32.
    """

    vertices: Tensor  # (V, 3)
    faces: Tensor  # (F, 3) int64
    colours: Tensor  # (V, 3) in 0..1, sRGB-encoded
    owner: Tensor  # (V,) int64, the vertex's part
    face_instance: Tensor  # (F,) int64, the face's part
    pivots: np.ndarray  # (N, 3) float64, where each mesh's centre was in its own frame


@dataclass(frozen=True, eq=False)
class Placements:
    """Where the centres of N parts stand, how they are turned, and their scale: x -> exp(log_scale)
    R x + translation.
    """

    log_scale: Tensor  # (N,)
    rotation: Tensor  # (N, 3) axis times angle in radians
    translation: Tensor  # (N, 3) scene units

    def detached(self) -> Placements:
        """The same without gradients."""
        numbers = (self.log_scale, self.rotation, self.translation)
        return Placements(*(tensor.detach() for tensor in numbers))


@dataclass(frozen=True, eq=False)
class Reference:
    """The photo as the optimiser sees it: small, and black where no object is."""

    camera: Camera  # of the small picture
    colour: Tensor  # (H, W, 3) in 0..1, sRGB-encoded, times alpha
    alpha: Tensor  # (N, H, W) share of the pixel that each mask covers


@dataclass(frozen=True)
class ArrangeOptions:
    """How ``arrange`` descends. The rates and weights are ComboVerse's."""

    iterations: int = 300
    # what may change; "yaw" instead of "rotation" keeps objects upright
    moves: tuple[str, ...] = ("depth", "place", "scale", "rotation")
    depth_rate: float = 0.01
    rate: float = 0.001
    # share of its first distance by which an object may come nearer or go away; None = any
    reach: float | None = None
    weights: tuple[float, float] = (1000.0, 1000.0)  # of colour and alpha in the reference loss
    # of the picture's longer side, at first and after ``sharpen`` of the iterations
    blur: tuple[float, float] = (1 / 16, 1 / 128)
    sharpen: float = 0.6
    # sharpness of the order in depth over that of the picture; softer closes wider gaps, see
    # docs/log.md
    order: float = 0.3
    # iterations between two calls of ``progress``, and between two candidates for the best
    every: int = 10

    def blur_at(self, iteration: int, size: int) -> float:
        """Width of the blur in pixels of a picture whose longer side is ``size``: falls by equal
        factors, then stays.
        """
        done = min(iteration / max(self.sharpen * self.iterations, 1.0), 1.0)
        return size * self.blur[0] ** (1 - done) * self.blur[1] ** done


@dataclass(frozen=True, eq=False)
class Arrangement:
    """What ``arrange`` found."""

    placements: Placements
    losses: np.ndarray  # (iterations,) reference loss at the blur of its time
    first: float  # sharp reference loss of the start
    last: float  # and of ``placements``


Extra = Callable[[Tensor, int], Tensor]  # placed vertices (V, 3), iteration -> a loss to be added
# iterations done, current placements without gradients
OnProgress = Callable[[int, Placements], None]


def parts_from_meshes(meshes: Sequence[trimesh.Trimesh]) -> MeshParts:
    """Put coloured meshes side by side. InputError when there are none, or one has no faces."""
    bare = [number for number, mesh in enumerate(meshes) if not len(mesh.faces)]
    if bare or not meshes:
        raise InputError(
            f"{len(meshes)} meshes; without faces: {bare or 'none'}; expected surfaces to arrange"
        )
    pivots = np.stack([mesh.bounds.mean(0) for mesh in meshes])
    vertex_counts = [len(mesh.vertices) for mesh in meshes]
    starts = np.cumsum([0, *vertex_counts])
    vertices = [mesh.vertices - pivot for mesh, pivot in zip(meshes, pivots)]
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts)]
    colours = [vertex_colors_of(mesh)[:, :3] for mesh in meshes]
    numbers = np.arange(len(meshes))
    face_counts = [len(mesh.faces) for mesh in meshes]
    corners = torch.from_numpy(np.concatenate(vertices).astype(np.float32))
    triangles = torch.from_numpy(np.concatenate(faces).astype(np.int64))
    paint = torch.from_numpy(np.concatenate(colours).astype(np.float32) / 255)
    of_vertex = torch.from_numpy(np.repeat(numbers, vertex_counts))
    of_face = torch.from_numpy(np.repeat(numbers, face_counts))
    return MeshParts(corners, triangles, paint, of_vertex, of_face, pivots)


def placements_from(parts: MeshParts, scene_from_mesh: np.ndarray) -> Placements:
    """From similarities (N, 4, 4), one for each mesh that ``parts`` was made of."""
    scales = np.array([scale_of(matrix) for matrix in scene_from_mesh])
    if len(scene_from_mesh) != len(parts.pivots) or not (scales > 0).all():
        given = f"{len(scene_from_mesh)} places with scales {scales.round(3).tolist()}"
        raise InputError(
            f"{given} for {len(parts.pivots)} meshes; expected one similarity for each"
        )
    linear = scene_from_mesh[:, :3, :3]
    turns = Rotation.from_matrix(linear / scales[:, None, None]).as_rotvec()
    centres = np.einsum("nij,nj->ni", linear, parts.pivots) + scene_from_mesh[:, :3, 3]
    numbers = (np.log(scales), turns, centres)
    return Placements(*(torch.from_numpy(a.astype(np.float32)) for a in numbers))


def transforms(parts: MeshParts, placements: Placements) -> np.ndarray:
    """(N, 4, 4) float64 scene_from_mesh of the meshes that ``parts`` was made of: the inverse of
    ``placements_from``.
    """
    scales = placements.log_scale.detach().double().exp().numpy()
    turns = Rotation.from_rotvec(placements.rotation.detach().double().numpy()).as_matrix()
    rows = zip(scales, turns, placements.translation.detach().double().numpy(), parts.pivots)
    places = [
        similarity(scale, rotation, translation - scale * rotation @ pivot)
        for scale, rotation, translation, pivot in rows
    ]
    return np.stack(places)


def placed_vertices(parts: MeshParts, placements: Placements) -> Tensor:
    """(V, 3) vertices in the scene, differentiable in the placements."""
    x, y, z = placements.rotation.unbind(1)
    zero = torch.zeros_like(x)
    entries = [zero, -z, y, z, zero, -x, -y, x, zero]
    skew = torch.stack(entries, dim=1).reshape(-1, 3, 3)
    turn = torch.matrix_exp(skew)  # smooth at zero, unlike Rodrigues' formula
    linear = placements.log_scale.exp()[:, None, None] * turn
    turned = torch.einsum("vij,vj->vi", linear[parts.owner], parts.vertices)
    return turned + placements.translation[parts.owner]


def reference_view(
    given: SceneInput,
    labels: Sequence[int],
    camera: Camera,
    size: int = 64,
) -> Reference:
    """Shrink a photo and the masks of the parts' labels, in their order, to ``size`` pixels along
    the longer side, by area.
    """
    masks = {mask.label: mask.mask for mask in given.masks}
    missing = [label for label in labels if label not in masks]
    if missing:
        raise InputError(f"labels {missing} have no mask; the photo has {sorted(masks)}")
    height, width = given.image.shape[:2]
    small = resized(camera, *scaled_size((width, height), size / max(height, width)))

    def shrunk(array: np.ndarray) -> np.ndarray:
        return cv2.resize(array.astype(np.float32), small.size, interpolation=cv2.INTER_AREA)

    union = np.any([masks[label] for label in labels], axis=0)
    colour = shrunk(given.image * union[..., None]) / 255
    alpha = np.stack([shrunk(masks[label]) for label in labels])
    return Reference(small, torch.from_numpy(colour), torch.from_numpy(alpha))


def reference_loss(
    image: SoftImage,
    reference: Reference,
    blur: float,
    weights: tuple[float, float] = (1000.0, 1000.0),
) -> Tensor:
    """L_ref of a picture on black, drawn with ``sharpness`` 1 / blur: means over pixels of absolute
    differences, weighted (colour, alpha).

    Colours are compared with the colours inside the masks, and what is visible of each object with
    its own mask (summed over objects; the paper compares the alpha of all together, which cannot
    tell who is who).
    """
    colour = gaussian_blur(reference.colour.movedim(-1, 0), blur).movedim(0, -1)
    alpha = gaussian_blur(reference.alpha, blur)
    of_colour = (image.colour - colour).abs().mean()
    of_alpha = (present(image.instance_alpha, "share of each instance") - alpha).abs().sum(0).mean()
    return weights[0] * of_colour + weights[1] * of_alpha


def arrange(
    parts: MeshParts,
    start: Placements,
    reference: Reference,
    options: ArrangeOptions | None = None,
    *,
    extra: Extra | None = None,
    progress: OnProgress = lambda done, placements: None,
) -> Arrangement:
    """Move the parts until they look like the reference.

    Returns the placements of the lowest sharp reference loss among the start, every ``every``
    iterations and the end. With an ``extra`` loss, which is usually noisy and whose value says
    little, it returns the last ones. Raises InputError for unknown moves, or none.
    """
    options = options or ArrangeOptions()
    if not options.moves or not set(options.moves) <= set(MOVES):
        raise InputError(f"moves are {options.moves}; expected some of {', '.join(MOVES)}")
    size = max(reference.camera.size)
    free = _Free.around(parts, start, reference.camera, options.reach)
    adam = free.optimiser(options)

    view_loss = partial(_view_loss, parts, reference, options.weights)

    @torch.no_grad()
    def sharp_loss(placements: Placements) -> float:
        return float(view_loss(placed_vertices(parts, placements), size * options.blur[1], 1.0))

    first = sharp_loss(start)
    best = (first, start)
    losses = np.zeros(options.iterations)
    for iteration in range(options.iterations):
        vertices = placed_vertices(parts, free.placements())
        loss = view_loss(vertices, options.blur_at(iteration, size), options.order)
        losses[iteration] = float(loss.detach())
        if extra is not None:
            loss = loss + extra(vertices, iteration)
        adam.zero_grad()
        loss.backward()
        adam.step()
        done = iteration + 1
        if done % options.every == 0 or done == options.iterations:
            current = free.placements().detached()
            progress(done, current)
            last = sharp_loss(current)
            if extra is not None or last < best[0]:
                best = (last, current)
    return Arrangement(best[1], losses, first, best[0])


def _view_loss(
    parts: MeshParts,
    reference: Reference,
    weights: tuple[float, float],
    vertices: Tensor,
    blur: float,
    order: float,
) -> Tensor:
    """The reference loss of placed vertices at a blur in pixels; ``order`` as in ArrangeOptions."""
    image = soft_render(
        vertices,
        parts.faces,
        parts.colours,
        reference.camera,
        sharpness=1 / blur,
        order_sharpness=order / blur,
        face_instance=parts.face_instance,
    )
    return reference_loss(image, reference, blur, weights)


@dataclass(frozen=True, eq=False)
class _Free:
    """What Adam moves, all zero at the start: lengths in units of the layout's size, and the frame
    in which they act.
    """

    start: Placements
    scene_from_camera: Tensor  # (3, 3) rotation
    origins: Tensor  # (N, 3) starting centres in the camera's frame
    unit: float  # longest side of the starting layout
    reach: float | None  # see ``ArrangeOptions``
    depth: Tensor  # (N,)
    place: Tensor  # (N, 2) to the right and down
    scale: Tensor  # (N,)
    rotation: Tensor  # (N, 3)

    @classmethod
    def around(
        cls,
        parts: MeshParts,
        start: Placements,
        camera: Camera,
        reach: float | None,
    ) -> _Free:
        start = start.detached()
        turn = torch.from_numpy(camera.rotation).to(start.translation)
        origins = (start.translation - torch.from_numpy(camera.position).to(turn)) @ turn
        vertices = placed_vertices(parts, start)
        unit = float((vertices.amax(0) - vertices.amin(0)).max())
        zeros = (
            torch.zeros(len(origins), *shape, dtype=turn.dtype, requires_grad=True)
            for shape in ((), (2,), (), (3,))
        )
        return cls(start, turn, origins, unit, reach, *zeros)

    def optimiser(self, options: ArrangeOptions) -> torch.optim.Adam:
        moved = {"rotation" if move == "yaw" else move: None for move in options.moves}
        rates = {"depth": options.depth_rate}
        groups = [
            {"params": [getattr(self, move)], "lr": rates.get(move, options.rate)} for move in moved
        ]
        if "yaw" in options.moves:
            upright = torch.tensor([0.0, 1.0, 0.0])
            self.rotation.register_hook(lambda slope: slope * upright.to(slope))
        return torch.optim.Adam(groups)

    def placements(self) -> Placements:
        step = self.unit * self.depth / self.origins[:, 2]
        if self.reach is not None:
            step = self.reach * torch.tanh(step / self.reach)
        nearer = (1 + step).clamp(min=NEAREST)[:, None]  # along the line of sight
        no_depth = torch.zeros_like(self.place[:, :1])
        sideways = torch.cat([self.unit * self.place, no_depth], dim=1)
        shift = (self.origins + sideways) * nearer - self.origins
        log_scale = self.start.log_scale + self.scale
        rotation = self.start.rotation + self.rotation
        translation = self.start.translation + shift @ self.scene_from_camera.T
        return Placements(log_scale, rotation, translation)
