"""Hold the generator to what the photo shows: carve with the silhouette, keep the visible surface.

In the flow: a generated volume + Perception -> a finer field that agrees with the photo, before it
becomes a mesh. What is hidden stays the generator's; what is visible is the depth map's, and the
outline is the mask's, at the photo's own resolution. Ours, not I-Scene's: a small model needs it, a
large one hardly notices.

All fields are truncated signed distances in the cube of the instance, negative inside:
    result = min( max(generated, hull, front), max(shell, hull) )
hull: the cells that project into the mask (or may be hidden); front: the cells not in front of the
visible surface;
shell: a thin layer just behind the visible surface.
The photo is asked only where it can matter: near the hull's or the front's border.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from maquette.geometry.boxes import UNIT_CORNERS, bounding_box
from maquette.geometry.cameras import pixels_at, project, world_rays
from maquette.geometry.transforms import transform_points
from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.photos.pixels import grown, square
from maquette.stages.bend import bent
from maquette.stages.closeup import Closeup, closeup, distance_within, middle_lines
from maquette.stages.floor import drawn_down, layers_below
from maquette.stages.join import joined
from maquette.stages.mirror import MirrorPlane, VisibleMatter, mirrored_field
from maquette.stages.perceive import Perception
from maquette.stages.shapes import PlacedShape
from maquette.stages.thin import ThinParts, thin_parts
from maquette.types import Camera

RESOLUTION = 128  # cells of a fused field along each side
NOTHING = 0.9  # from this value on a generated field says that nothing is near
LARGEST_REACH = 64  # pixels
COARSE = 32  # cells along each side, from which it follows where the photo is asked
MARGIN = 0.25  # truncations by which such a cell must be clear of every border
PIXELS = 768  # of a mask's longer side; more say nothing to cells of this size
SHELL = 0.05  # thickness of the visible layer, in cube sides
# least and largest thickness, in truncations; smoothing eats at a layer of fewer cells
THICKNESS = (3 / RESOLUTION / TRUNCATION, SHELL / TRUNCATION)
# by which a known shape may reach beyond the mask: sides along the line of sight would be torn
SLACK = 0.02
JUMP = 0.025  # cube sides between a pixel and the mean with its neighbours: two surfaces are there
CONTACT = 0.02  # an object must be this much nearer (scene units) to count as hiding a cell
LEAST_HALF_WIDTH = 0.75  # cells, of any part
OUTLINE_BLUR = 0.7  # pixels: the steps of a mask are none of the object
ALONG_THIN = 0.02  # of the mask's longer side; so far the steps of upright thin parts are evened
INSIDE = 2.0  # pixels from the outline, where the surface is known well
NOT_ACROSS = 0.1  # pixels: as good as no blur
REACHED = 1500  # places of the visible surface that the generated body is bent to
MIRRORED = 1500  # places of the visible surface that a mirror plane is judged by
TOLD = 0.25  # of the visible layer that must be mirrored into a cell, for it to be known
RIM = 1.0  # pixels beyond the mask in which the surface goes on


@dataclass(frozen=True, eq=False)
class SeenCells:
    """What a photo says of N cells, for one instance; in truncations."""

    outline: np.ndarray  # (N,) signed distance from the cone of the mask
    gap: np.ndarray  # (N,) > 0: in front of the visible surface
    thickness: np.ndarray  # (N,) of the visible layer
    slim: np.ndarray  # (N,) bool: a thin part is there, behind which there is nothing
    visible: np.ndarray  # (N,) bool: the photo shows the instance's surface there
    hidden: np.ndarray  # (N,) bool: something else may hide the cell, or it is outside of the photo
    known: np.ndarray  # (N,) bool: a known shape is all that the photo shows there

    @property
    def hull(self) -> np.ndarray:
        """(N,) signed distance from the cone of the mask; -1 where that says nothing."""
        return np.where(self.hidden, -1.0, self.outline)

    @property
    def front(self) -> np.ndarray:
        """(N,) signed distance from what is behind the visible surface."""
        return np.where(self.visible & ~self.known, self.gap, -1.0)

    @property
    def shell(self) -> np.ndarray:
        """(N,) signed distance from the visible layer."""
        half = 0.5 * self.thickness
        return np.where(self.visible, np.abs(self.gap + half) - half, 1.0)

    @property
    def empty(self) -> np.ndarray:
        """(N,) how deep they are in space that the photo shows to be empty; 0 in what it does
        not.
        """
        shown = np.maximum(self.outline, np.where(self.visible, self.gap, 0.0))
        return np.where(self.hidden, 0.0, shown).clip(0)


@dataclass(frozen=True, eq=False)
class Witness:
    """The window of a photo around a cube, and what it says of places in it."""

    window: Closeup
    scene_from_cube: np.ndarray  # (4, 4)
    inwards: np.ndarray  # (H, W) float32 pixels from the object's outline, negative outside
    thin: ThinParts
    known: np.ndarray  # (H, W) bool: a known shape is all that is seen

    @property
    def side(self) -> float:
        """Of the cube, in scene units."""
        return float(self.scene_from_cube[0, 0])

    @property
    def pixels_per_unit(self) -> float:
        """Of the window, at the middle of the cube."""
        _, depth = project(self.window.camera, self.scene_from_cube[:3, 3])
        return float(self.window.camera.focal) / max(float(depth), 1e-3)

    @cached_property
    def _maps(self) -> np.ndarray:
        """(H, W, 2) what is interpolated: pixels from the outline, depth."""
        return np.dstack([self.inwards, self.thin.depth])

    def see(self, cells: np.ndarray) -> SeenCells:
        """What it says of cells (N, 3) in the cube's frame."""
        camera = self.window.camera
        pixel, away = project(camera, transform_points(self.scene_from_cube, cells))
        inside = ((pixel >= 0) & (pixel < camera.size)).all(1) & (away > 1e-3)
        columns, rows = pixels_at(camera, pixel)
        hidden = ~inside | (self.window.others[rows, columns] < away - CONTACT)
        inwards, surface = bilinear(self._maps, pixel, cv2.BORDER_REPLICATE).T
        own = self.thin.depth[rows, columns]
        is_jump = np.abs(surface - own) > JUMP * self.side
        surface = np.where(is_jump, own, surface)
        slim = inside & self.thin.here[rows, columns]
        truncations = self.side * TRUNCATION
        outline = -inwards * away / camera.focal / truncations
        gap = (surface - away) / truncations
        thickness = np.clip(self.thin.thickness[rows, columns] / truncations, *THICKNESS)
        visible = inside & (inwards > -RIM)
        known = inside & self.known[rows, columns]
        return SeenCells(outline, gap, thickness, slim, visible, hidden, known)

    @cached_property
    def lowest(self) -> float:
        """Height in the scene at which the visible surface ends below."""
        rows, columns = np.nonzero(self.window.mask)
        return float(self._lifted(rows, columns, down=1.0)[:, 1].min())

    def surface(self, most: int) -> np.ndarray:
        """(N, 3) places of the visible surface in the scene frame, a little inside of the outline,
        about ``most`` evenly chosen ones.
        """
        rows, columns = np.nonzero(self.inwards > INSIDE)
        every = max(1, len(rows) // most)
        return self._lifted(rows[::every], columns[::every])

    def _lifted(self, rows: np.ndarray, columns: np.ndarray, down: float = 0.5) -> np.ndarray:
        """(N, 3) places of the visible surface at pixels, in the scene frame; ``down``: from their
        upper (0) to their lower edge (1).
        """
        camera = self.window.camera
        homogeneous = np.stack([columns + 0.5, rows + down, np.ones(len(rows))], axis=1)
        rays = homogeneous @ np.linalg.inv(camera.intrinsics).T
        depth = self.thin.depth[rows, columns]
        return transform_points(camera.world_from_camera, rays * depth[:, None])

    def covers_others(self, cells: np.ndarray) -> np.ndarray:
        """(N,) bool: whether cells (N, 3) in the cube's frame stand before another object."""
        camera = self.window.camera
        pixel, away = project(camera, transform_points(self.scene_from_cube, cells))
        columns, rows = pixels_at(camera, pixel)
        others = self.window.others[rows, columns]
        return np.isfinite(others) & (others >= away - CONTACT)


class Fused(NamedTuple):
    """An instance that agrees with its photo."""

    field: np.ndarray  # (RESOLUTION,) * 3 float32
    mirrors: tuple[MirrorPlane, ...]  # that its hidden side follows, in the scene frame


def fused_field(
    generated: Tensor,
    perception: Perception,
    label: int,
    scene_from_cube: np.ndarray,
) -> Fused:
    """Field (R, R, R) of one instance -> a finer one that agrees with the photo where that shows
    the instance; with a measured depth, it is bent to reach that, and its hidden side is the
    mirror image of the visible one where that speaks for a plane, or for two.
    """
    witness = _witness(perception, label, scene_from_cube)
    shape = perception.shapes.get(label)
    measured = perception.given_depth is not None and shape is None
    reached = np.zeros((0, 3))
    if measured:  # what is estimated leans, and bodies that follow it get thick
        cube_from_scene = np.linalg.inv(scene_from_cube)
        reached = transform_points(cube_from_scene, witness.surface(REACHED))
    if shape is None:
        fine = bent(generated, reached, RESOLUTION)
    else:
        fine = _known_field(shape, scene_from_cube)
    if shape is None and label in perception.floors:
        fine = drawn_down(fine, perception.floors[label], scene_from_cube)
    field, shown = _held_to_photo(fine, witness, 0.0 if shape is None else SLACK)
    planes: tuple[MirrorPlane, ...] = ()
    if measured:
        field, shown, planes = _with_mirrors(field, shown, witness)
    if label in perception.floors:
        field = np.maximum(
            field, layers_below(RESOLUTION, perception.floors[label], scene_from_cube)
        )
    field = _without_hidden_islands(field, shown)
    field = joined(field, lambda cells: ~witness.covers_others(_position(cells)))
    mirrors = tuple(plane.moved(scene_from_cube) for plane in planes)
    return Fused(field, mirrors if shape is None else shape.mirrors(perception.camera.position))


def _known_field(shape: PlacedShape, scene_from_cube: np.ndarray) -> Tensor:
    """(RESOLUTION,) * 3 field of a known shape in a cube."""
    truncations = float(scene_from_cube[0, 0]) * TRUNCATION
    field = np.empty((RESOLUTION,) * 3, np.float32)
    for layer, cells in zip(field, cell_centres(RESOLUTION).numpy()):  # one after the other: memory
        places = transform_points(scene_from_cube, cells.reshape(-1, 3))
        layer[:] = shape.distance(places).reshape(layer.shape)
    field = (field / truncations).clip(-1, 1)
    return torch.from_numpy(field)


def _witness(perception: Perception, label: int, scene_from_cube: np.ndarray) -> Witness:
    corners = transform_points(scene_from_cube, UNIT_CORNERS)
    window = closeup(perception, label, PIXELS, _box_in_photo(perception.camera, corners))
    inwards = window.inwards()
    measured = perception.given_depth is not None
    thin = thin_parts(window, inwards, float(scene_from_cube[0, 0]), measured)
    shape = perception.shapes.get(label)
    known = np.zeros(inwards.shape, bool) if shape is None else _covered(shape, window)
    witness = Witness(window, scene_from_cube, inwards, thin, known)
    return replace(witness, inwards=_outline(witness))


def _covered(shape: PlacedShape, window: Closeup) -> np.ndarray:
    """(H, W) bool where a window shows nothing but a known shape, or beside it a sliver, which is
    the outline's error; not what stands out of it.
    """
    met = window.mask.copy()
    pixels = np.argwhere(met)[:, ::-1] + 0.5
    met[met] = np.isfinite(shape.shape.first_met(world_rays(window.camera, pixels)))
    reach = SLACK * window.scale
    beside = window.mask & ~met
    out = beside & (distance_within(~met) > reach)
    return ~beside | (distance_within(~out) > 2 * reach)


def _held_to_photo(
    fine: Tensor, witness: Witness, slack: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """A field (RESOLUTION,) * 3 that agrees with the photo, and bool which cells are of the visible
    layer. slack: cube sides by which it may reach beyond the outline.
    """
    field = fine.numpy().copy()
    outside, near = (_finer(part) for part in _coarse_look(witness, fine))
    field[outside] = 1.0
    seen = witness.see(_position(np.argwhere(near)))
    # behind what stands on the ground, a layer along the line of sight would reach below it
    below = np.broadcast_to(
        layers_below(RESOLUTION, witness.lowest, witness.scene_from_cube), field.shape
    )
    behind = np.where(seen.slim, -seen.gap - seen.thickness, -1.0)
    hull = seen.hull - slack / TRUNCATION
    carved = np.maximum.reduce([field[near], hull, seen.front, behind])
    layer = np.where(seen.known, 1.0, np.maximum(seen.shell, seen.hull))
    layer = np.maximum(layer, below[near])
    field[near] = np.minimum(carved, layer).clip(-1, 1)
    shown = np.zeros(field.shape, bool)
    shown[near] = seen.shell < 0
    return field, shown


def _with_mirrors(
    field: np.ndarray, shown: np.ndarray, witness: Witness
) -> tuple[np.ndarray, np.ndarray, tuple[MirrorPlane, ...]]:
    """A fused field and its visible layer, held to the mirror planes that are found."""
    first = _visible_matter(field, witness).find_plane()
    if first is None:
        return field, shown, ()
    # what the first plane tells of cells that are shown is not for the second one to change
    told = mirrored_field(shown.astype(np.float32), first) > TOLD
    field, shown = _held_to_photo(torch.from_numpy(mirrored_field(field, first)), witness)
    second = _visible_matter(field, witness).find_second(first)
    if second is None:
        return field, shown, (first,)
    kept = ndimage.gaussian_filter(told.astype(np.float32), 1.0)
    both = kept * field + (1 - kept) * mirrored_field(field, second)
    return *_held_to_photo(torch.from_numpy(both), witness), (first, second)


def _visible_matter(field: np.ndarray, witness: Witness) -> VisibleMatter:
    """What a fused field and the photo say of an object, in the frame of its cube."""
    half = RESOLUTION // 2
    coarse = field.reshape(half, 2, half, 2, half, 2).mean((1, 3, 5))
    cube_from_scene = np.linalg.inv(witness.scene_from_cube)
    points = transform_points(cube_from_scene, witness.surface(MIRRORED))
    towards = transform_points(cube_from_scene, witness.window.camera.position)
    sight = towards / np.linalg.norm(towards)
    return VisibleMatter(coarse, points, lambda at: witness.see(at).empty * TRUNCATION, sight)


def _outline(witness: Witness) -> np.ndarray:
    """(H, W) float32 pixels from the outline that the mesh is to have: the mask's without steps,
    and nowhere thinner than the cells can show.
    """
    inwards = witness.inwards
    smooth = cv2.GaussianBlur(inwards, (0, 0), OUTLINE_BLUR)
    straight = np.isfinite(witness.thin.thickness)
    if straight.any():
        sigma = ALONG_THIN * witness.window.scale
        parts = (np.where(straight, inwards, 0.0).astype(np.float32), straight.astype(np.float32))
        summed, weight = (
            cv2.GaussianBlur(part, (0, 0), NOT_ACROSS, sigmaY=sigma) for part in parts
        )
        smooth[straight] = summed[straight] / weight[straight]
    cell = witness.pixels_per_unit * witness.side / RESOLUTION
    least = max(LEAST_HALF_WIDTH * cell, 0.5)
    thin = middle_lines(witness.window.mask, inwards) & (inwards < least)
    if not thin.any():
        return smooth
    return np.maximum(smooth, least - distance_within(~thin))


def _coarse_look(witness: Witness, generated: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Cells (COARSE,) * 3 bool that are outside for certain, and those of which the photo has to be
    asked in detail. In the others the generator alone decides; ``generated`` (R, R, R): what it
    says.

    The depth within a cell's picture may jump, so both its least and its largest are looked at.
    """
    clear = 0.5 * np.sqrt(3) / COARSE / TRUNCATION + MARGIN
    centres = cell_centres(COARSE).numpy().reshape(-1, 3).astype(np.float64)
    low, high = _extremes(witness, clear)
    nearest = low.see(centres)
    farthest = high.see(centres)
    hull = nearest.hull
    in_front = nearest.visible & (nearest.gap > clear)
    far_behind = farthest.gap < -SHELL / TRUNCATION - clear
    at_outline = np.abs(nearest.outline) < clear
    shell = ~in_front & ~far_behind & (at_outline | nearest.visible)
    least = -F.max_pool3d(-generated[None, None], RESOLUTION // COARSE)
    matter = least.numpy().reshape(-1) < NOTHING
    grid = (COARSE,) * 3
    hidden = nearest.hidden.reshape(grid)
    edge = (ndimage.maximum_filter(hidden, 3) & ~ndimage.minimum_filter(hidden, 3)).reshape(-1)
    near = shell | (matter & (at_outline | edge | nearest.slim))
    outside = ~near & ((hull > clear) | in_front)
    return outside.reshape(grid), near.reshape(grid)


def _extremes(witness: Witness, clear: float) -> tuple[Witness, Witness]:
    """What is seen with the least and with the largest depth within a cell's picture; clear: how
    far a cell reaches, in truncations.
    """
    reach = int(clear * TRUNCATION * witness.side * witness.pixels_per_unit) + 1
    kernel = square(min(reach, LARGEST_REACH))
    thin = witness.thin
    around = grown(thin.here, kernel)
    depths = (extreme(thin.depth, kernel) for extreme in (cv2.erode, cv2.dilate))
    low, high = (replace(thin, depth=depth, here=around) for depth in depths)
    return replace(witness, thin=low), replace(witness, thin=high)


def _position(cells: np.ndarray) -> np.ndarray:
    """Centres of cells (N, 3) of a fused field, in the cube's frame."""
    return (cells + 0.5) / RESOLUTION - 0.5


def _finer(cells: np.ndarray) -> np.ndarray:
    """(COARSE,) * 3 -> (RESOLUTION,) * 3, each cell's value in all cells that it holds."""
    for axis in range(3):
        cells = cells.repeat(RESOLUTION // COARSE, axis)
    return cells


def _box_in_photo(camera: Camera, points: np.ndarray) -> np.ndarray:
    """(2, 2) left and top, right and bottom of the picture of points; the whole photo when some are
    behind the camera.
    """
    pixel, depth = project(camera, points)
    if (depth < 1e-3).any():
        return np.array([[0, 0], camera.size])
    return bounding_box(pixel)


def _without_hidden_islands(field: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Drop solid parts (R, R, R) that are not connected with anything visible: nothing in the photo
    speaks for them.
    """
    parts, _ = ndimage.label(field < 0)
    seen = np.unique(parts[visible & (parts > 0)])
    if len(seen) == 0:
        return field
    return np.where((parts > 0) & ~np.isin(parts, seen), 1.0, field)


def bilinear(
    picture: np.ndarray, pixel: np.ndarray, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """(N, ...) float64 samples of a picture (H, W, ...) at pixel coordinates (N, 2), centres at
    +0.5; outside 0, or what OpenCV's ``border`` says.
    """
    rows = min(max(len(pixel), 1), 1 << 12)  # remap takes less than 32768 rows and columns
    padded = np.zeros((-(-len(pixel) // rows) * rows, 2), np.float32)
    padded[: len(pixel)] = np.clip(pixel - 0.5, -1e4, 1e5)
    at = padded.reshape(rows, -1, 2)
    sampled = cv2.remap(  # type: ignore[call-overload]  # the second map may be absent
        picture, at, None, cv2.INTER_LINEAR, borderMode=border
    )
    return sampled.reshape(-1, *picture.shape[2:])[: len(pixel)].astype(np.float64)
