"""Placed meshes -> a picture with gradients to vertices and colours, on the CPU: what an optimiser
of layouts looks at.

Two published ideas, one for each kind of gradient:

* Outlines, after nvdiffrast (Laine et al. 2020, arXiv 2011.03277, section 3.5). Visibility inside
  an instance is hard; where an edge runs
  between two pixels, the one that it covers partly receives a share of the other, so the picture
  changes continuously as the edge moves.
  Unlike there, shares are weighted with the squared normal of the edge in the pair's direction:
  horizontal and vertical pairs together then
  carry the whole motion of an edge of any slope, exactly once, and nothing jumps when an edge
  passes 45 degrees.
* Order in depth and reach, after SoftRas (Liu et al. 2019, arXiv 1904.01786). An instance in front
  hides another with the probability
  sigmoid(k log(z_behind / z_front)), so an object that is hidden, or that hides, learns which way
  to go. A Gaussian blur of the finished
  picture lets an outline feel a target that it does not touch yet.

Not SoftRas alone: there every face is a blob, so the silhouette depends on the tessellation,
interiors show seams, and the work grows with faces times blurred pixels. Here the blur costs the
same for any mesh, and comparing with a target that is blurred alike (``gaussian_blur``) has its
minimum at the truth. One number sets all softness: with sharpness s the blur is 1 / s pixels wide,
and two surfaces are told apart in depth when they are further apart than 1 / s pixels at their
distance, k = s x focal length.

Gradients are those of the picture as it is defined here: they agree with finite differences, and a
solid's area grows by its outline. Features thinner than a pixel may fall between the centres, as in
any rasteriser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.methods.comboverse.outlines import Outlines, find_outlines
from maquette.render.rasterize import NEAR, checked_mesh, pixel_from_world
from maquette.types import Camera

# coverage below which nothing is hidden and nothing hides: quotients of such numbers are none
FAINTEST = 1e-6
LEAST_BLUR = 0.15  # pixels: a narrower Gaussian changes no pixel

LEAST_ALPHA = 1e-3  # in the far tail of a blur a mean depth has no meaning


@dataclass(frozen=True, eq=False)
class SoftImage:
    """A differentiable picture, all parts blurred alike. ``colour`` lies on the background, or on
    black without one.
    """

    colour: Tensor  # (H, W, 3) in 0..1, sRGB-encoded as the vertices' colours
    alpha: Tensor  # (H, W) in 0..1, covered share
    # (N, H, W) visible share of each instance, their sum is alpha; None without instances
    instance_alpha: Tensor | None
    # (H, W) mean z-depth of what is visible, world units; inf where alpha <= LEAST_ALPHA
    depth: Tensor


def soft_render(
    vertices: Tensor,
    faces: Tensor | np.ndarray,
    colours: Tensor,
    camera: Camera,
    *,
    sharpness: float = 2.0,
    order_sharpness: float | None = None,
    background: Tensor | None = None,
    face_instance: Tensor | np.ndarray | None = None,
) -> SoftImage:
    """Draw world-frame vertices (V, 3), faces (F, 3), colours (V, 3) in 0..1, seen from both sides.

    ``sharpness`` per pixel, infinite = no softness (outlines stay antialiased);
    ``order_sharpness``, if given, is that of the order in depth alone. ``background`` (3,) or (H,
    W, 3). ``face_instance`` (F,) in 0 .. N - 1; without it the mesh is one solid. Faces that reach
    behind the camera are not drawn. Precision follows the vertices. Raises InputError for arrays
    that cannot be drawn.
    """
    _check(vertices, colours, sharpness, order_sharpness)
    points, triangles = checked_mesh(vertices.detach().numpy(), np.asarray(faces))
    layer = np.zeros(len(triangles), np.int32)
    if face_instance is not None:
        layer = _checked_layers(face_instance, len(triangles))
    outlines = find_outlines(points, triangles, camera, layer, int(layer.max(initial=0)) + 1)
    layers = _layers(vertices, torch.from_numpy(triangles).long(), colours, camera, outlines)
    focal = math.sqrt(camera.focal * camera.intrinsics[1, 1])
    visible = _visible_share(layers, (order_sharpness or sharpness) * focal)
    seen = layers * visible[..., None]  # (N, H, W, 5)
    colour, depth, alpha = (part.squeeze(-1) for part in seen.sum(0).split([3, 1, 1], dim=-1))
    if background is not None:
        colour = colour + (1 - alpha)[..., None] * background.to(colour)
    channels = [colour.movedim(-1, 0), depth[None], alpha[None]]
    if face_instance is not None:
        channels.append(seen[..., 4])
    return _image_of(gaussian_blur(torch.cat(channels), 1 / sharpness))


def _image_of(channels: Tensor) -> SoftImage:
    """Picture of (5 or 5 + N, H, W) colour, depth x alpha, alpha and perhaps the instances'
    shares.
    """
    colour, depth, alpha, shares = channels.split([3, 1, 1, len(channels) - 5])
    covered = alpha[0].detach() > LEAST_ALPHA
    mean_depth = depth[0] / torch.where(covered, alpha[0], 1.0)
    return SoftImage(
        colour.movedim(0, -1).clamp(0, 1),
        alpha[0].clamp(0, 1),
        shares.clamp(0, 1) if len(shares) else None,
        torch.where(covered, mean_depth, math.inf),
    )


def _check(
    vertices: Tensor,
    colours: Tensor,
    sharpness: float,
    order_sharpness: float | None,
) -> None:
    """InputError for steepnesses that are not positive and colours that fit no vertices."""
    if not sharpness > 0 or (order_sharpness is not None and not order_sharpness > 0):
        raise InputError(
            f"sharpness is {sharpness}, order_sharpness {order_sharpness}; expected positive "
            "numbers per pixel"
        )
    if colours.shape != vertices.shape:
        raise InputError(
            f"colours have shape {tuple(colours.shape)}, expected that of the vertices, "
            f"{tuple(vertices.shape)}"
        )


def gaussian_blur(picture: Tensor, width: float) -> Tensor:
    """Blur (..., H, W) with a Gaussian whose standard deviation is ``width`` pixels; at the border
    its weights are scaled to sum to 1.
    """
    if width < LEAST_BLUR:
        return picture
    rows, columns = (_blur_matrix(size, width).to(picture) for size in picture.shape[-2:])
    return rows @ picture @ columns.T


def _blur_matrix(size: int, width: float) -> Tensor:
    """(S, S) a Gaussian of a width in pixels around every place; rows sum to 1."""
    places = torch.arange(size, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    return weights / weights.sum(1, keepdim=True)


def _checked_layers(face_instance: Tensor | np.ndarray, count: int) -> np.ndarray:
    """(F,) int32 layer of every face; InputError for what cannot be one."""
    layer = np.ascontiguousarray(face_instance, dtype=np.int32)
    if layer.shape != (count,) or (count and layer.min() < 0):
        raise InputError(
            f"face_instance has shape {layer.shape} and starts at {layer.min(initial=0)}; "
            f"expected ({count},), from 0 on"
        )
    return layer


def _layers(
    vertices: Tensor,
    faces: Tensor,
    colours: Tensor,
    camera: Camera,
    outlines: Outlines,
) -> Tensor:
    """(N, H, W, 5) colour x alpha, depth x alpha and alpha of every instance alone, with
    antialiased outlines.
    """
    matrix = torch.from_numpy(pixel_from_world(camera)).to(vertices)
    homogeneous = vertices @ matrix[:, :3].T + matrix[:, 3]
    in_front = homogeneous[:, 2] >= NEAR  # the others belong to no face that is drawn
    depth = torch.where(in_front, homogeneous[:, 2], 1.0)
    screen = homogeneous[:, :2] / depth[:, None]
    shape = outlines.face.shape
    owner = torch.from_numpy(outlines.face.reshape(-1))
    covered = torch.nonzero(owner >= 0)[:, 0]
    corners = faces[owner[covered].long()]
    values = _surface(screen, depth, colours, corners, _centres(covered, shape).to(screen))
    flat = torch.zeros(owner.numel(), 5, dtype=values.dtype).index_copy(0, covered, values)
    if len(outlines.axis):
        flat = _antialiased(flat, screen, outlines)
    return flat.reshape(*shape, 5)


def _antialiased(flat: Tensor, screen: Tensor, outlines: Outlines) -> Tensor:
    """Pixels (P, 5) of all layers; of each pair the one that an edge covers partly receives a share
    of the other.
    """
    place, weight = _crossings(screen, outlines)
    first, second = torch.from_numpy(outlines.pixels).unbind(1)
    beyond = place > 0.5  # past the middle: the first pixel's surface covers part of the second
    taker = torch.where(beyond, second, first)
    giver = torch.where(beyond, first, second)
    share = weight * (place - 0.5).abs()
    total = torch.zeros(len(flat), dtype=share.dtype).index_add(0, taker, share)
    share = share / total[taker].clamp(min=1.0)  # a hole or a dot between four edges
    return flat.index_add(0, taker, share[:, None] * (flat[giver] - flat[taker]))


def _centres(pixels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(P, 2) x and y of the centres of numbered pixels."""
    return torch.stack([pixels % shape[2], pixels // shape[2] % shape[1]], dim=-1) + 0.5


def _surface(
    screen: Tensor,
    depth: Tensor,
    colours: Tensor,
    corners: Tensor,
    centres: Tensor,
) -> Tensor:
    """(P, 5) colour, depth and 1 of the faces with these corners (P, 3) at the centres (P, 2)."""
    # relative to the pixel, so that slivers keep their digits
    x, y = (screen[corners] - centres[:, None]).unbind(-1)
    opposite = [x[:, k - 2] * y[:, k - 1] - x[:, k - 1] * y[:, k - 2] for k in range(3)]
    areas = torch.stack(opposite, dim=-1)
    total = areas.sum(-1, keepdim=True)
    areas = (areas * torch.where(total < 0, -1.0, 1.0)).clamp(min=0)  # negative only by rounding
    areas = torch.where(areas.sum(-1, keepdim=True) > 0, areas, 1.0)
    shares = areas / depth[corners]  # perspective: linear in the picture is 1 / z
    inverse = shares.sum(-1, keepdim=True)
    colour = ((shares / inverse)[..., None] * colours[corners]).sum(1)
    mean_depth = areas.sum(-1, keepdim=True) / inverse
    return torch.cat([colour, mean_depth, torch.ones_like(inverse)], dim=-1)


def _crossings(screen: Tensor, outlines: Outlines) -> tuple[Tensor, Tensor]:
    """Where each pair's edge crosses, 0 = at the first centre, 1 = at the second; and its squared
    normal in the pair's direction.
    """
    axis = torch.from_numpy(outlines.axis)[:, None]
    ends = screen[torch.from_numpy(outlines.edge)]  # (P, 2, 2)
    start, end = _coordinates(ends, axis)
    start_across, end_across = _coordinates(ends, 1 - axis)
    centre = _centres(torch.from_numpy(outlines.pixels[:, 0]), outlines.face.shape).to(screen)
    run = end - start
    rise = end_across - start_across
    climb = centre.gather(1, 1 - axis)[:, 0] - start_across
    ratio = climb / torch.where(rise == 0, 1.0, rise)
    place = start + ratio * run - centre.gather(1, axis)[:, 0]
    length = run.square() + rise.square()
    return place.clamp(0, 1), rise.square() / torch.where(length == 0, 1.0, length)


def _coordinates(ends: Tensor, axis: Tensor) -> tuple[Tensor, ...]:
    """(P,) of the starts and of the ends of edges (P, 2, 2), each along its own axis (P, 1)."""
    return ends.gather(2, axis[:, None].expand(-1, 2, 1))[..., 0].unbind(1)


def _visible_share(layers: Tensor, steepness: float) -> Tensor:
    """(N, H, W) share of each instance that the others leave visible; sum_i share_i alpha_i = 1 -
    prod_i (1 - alpha_i).
    """
    alpha = layers[..., 4]
    visible = torch.ones_like(alpha)
    crowded = (alpha.detach() > FAINTEST).sum(0) > 1
    if not crowded.any():
        return visible
    alpha = alpha[:, crowded]  # (N, P)
    depth = layers[..., 3][:, crowded]
    there = alpha > FAINTEST
    logarithm = torch.where(there, depth / torch.where(there, alpha, 1.0), 1.0).log()
    behind = logarithm[:, None] - logarithm[None]  # [i, j]: how far i is behind j
    if math.isinf(steepness):
        # a step has no gradient
        hidden = torch.heaviside(behind.detach(), behind.new_tensor(0.5))
    else:
        hidden = torch.sigmoid(steepness * behind)
    others = (1 - torch.eye(len(alpha), dtype=alpha.dtype))[..., None]
    share = (1 - alpha[None] * hidden * others).prod(1)
    covered = 1 - (1 - alpha).prod(0)
    share = share * covered / (share * alpha).sum(0)
    return visible.masked_scatter(crowded.expand_as(visible), share)
