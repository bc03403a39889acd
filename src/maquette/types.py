"""The nouns of maquette, all frozen: what goes in (SceneInput), what comes out (Scene), and the
Camera between them.

Second module of the flow: every later module takes and returns these.

Frames and units
    scene frame   right-handed, +Y up (gravity), the camera looks along -Z, origin at the centre of
    the scene's
                  axis-aligned box whose longest side is 1, so that everything lies in [-0.5,
                  0.5]^3.
    camera frame  OpenCV: x right, y down, z forward; pixel centres at +0.5.
    instance      a mesh's own frame: scene axes, origin at the centre of the mesh's axis-aligned
    box.
Transforms are named ``a_from_b`` and are 4x4 float64 arrays that map column vectors.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maquette.declare import names_of, refuse_unknown
from maquette.errors import InputError, contained

if TYPE_CHECKING:
    import trimesh

SHOWN = 8  # names in the short form of a scene
WRITING = ("preview", "export")  # stages after a scene is made
GROUND = "ground"  # what an object can stand on besides other objects
JsonObject = dict[str, Any]
StrPath = str | Path
Arrays = dict[str, np.ndarray]  # by name
Which = int | str  # an object, by its label or its name
LARGEST_COORDINATE = 1e18  # so that products of a few of them are still finite as float32


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without distortion."""

    intrinsics: np.ndarray  # (3, 3) float64, pixels
    # (4, 4) float64, rigid; world = the scene frame unless said otherwise
    world_from_camera: np.ndarray
    width: int  # pixels
    height: int  # pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) float64, of ``world_from_camera``."""
        return self.world_from_camera[:3, :3]

    @property
    def focal(self) -> float:
        """The focal length in pixels across."""
        return self.intrinsics[0, 0]

    @property
    def camera_from_world(self) -> np.ndarray:
        """(4, 4) float64, the inverse of ``world_from_camera``."""
        return np.linalg.inv(self.world_from_camera)

    @property
    def position(self) -> np.ndarray:
        """(3,) float64, the optical centre in the world frame."""
        return self.world_from_camera[:3, 3]


@dataclass(frozen=True, eq=False)
class InstanceMask:
    """The pixels of one object in the photo."""

    label: int  # positive; 0 is the background
    mask: np.ndarray  # (H, W) bool
    name: str = ""  # free text such as "chair"; empty when unknown


@dataclass(frozen=True)
class Focal:
    """How long the lens of a photo was, and who says so."""

    ratio: float  # focal length over the photo's longer side, both in pixels
    source: str  # for people and for provenance, such as "EXIF, 26 mm on 35-mm film"


@dataclass(frozen=True, eq=False)
class GivenGeometry:
    """What a user knows of a photo's depth and camera, so that it need not be estimated."""

    # (H, W) float32 z-depth along the optical axis of the photo's own pixels; nan = not known
    depth: np.ndarray | None = None
    metric: bool = False  # the depth is in metres; otherwise in an unknown unit
    intrinsics: np.ndarray | None = None  # (3, 3) of the photo's pixels, centres at +0.5
    down: np.ndarray | None = None  # (3,) unit, where gravity pulls, in the camera's OpenCV axes
    source: str = ""  # for people and for provenance


@dataclass(frozen=True, eq=False)
class SceneInput:
    """A photo and the masks of its objects, already decoded, upright and of one size."""

    image: np.ndarray  # (H, W, 3) uint8, sRGB
    masks: tuple[InstanceMask, ...]  # ascending labels, all (H, W), at least one pixel each
    source: str = ""  # where the photo came from, for provenance
    warnings: tuple[str, ...] = ()  # what reading and diagnosis found, for people
    focal: Focal | None = None  # None = not known: it is estimated
    geometry: GivenGeometry | None = None  # None = depth and camera are estimated


@dataclass(frozen=True)
class ShapeEstimate:
    """How good an object's shape is likely to be, whatever its silhouette says."""

    f_score: float  # expected F-score of the object by itself, in [0, 1]; see stages/estimate.py
    reason: str = ""  # what speaks against it most; "" where nothing does


@dataclass(frozen=True, eq=False)
class Instance:
    """One object of the scene: a complete coloured mesh in its own frame, and where that frame
    stands.
    """

    label: int
    # vertices in the instance frame (box centred on 0), vertex colours sRGB uint8 RGBA
    mesh: trimesh.Trimesh
    world_from_instance: np.ndarray  # (4, 4) float64, a similarity; world = the scene frame
    seed: int  # of this instance's noise
    # IoU of the projected silhouette with the input mask, in [0, 1]; nan = not checked
    confidence: float = float("nan")
    name: str = ""  # free text, of the mask
    node: str = ""  # glTF node name; empty = instance_<label>. See node_names
    warnings: tuple[str, ...] = ()
    # what regenerate() needs, e.g. the instance's cube; arrays only
    state: Arrays = field(default_factory=dict)
    hidden: bool = (
        False  # kept in the scene document, left out of pictures and of files for other programs
    )
    estimate: ShapeEstimate | None = None  # None = not known, as without a photo

    def __repr__(self) -> str:
        about = [f"{self.label}, {self.node_name!r}, {len(self.mesh.faces):,} triangles"]
        if self.confidence == self.confidence:
            about.append(f"confidence {self.confidence:.2f}")
        return f"Instance({', '.join(about)})"

    @property
    def node_name(self) -> str:
        """Name of the glTF node."""
        return self.node or f"instance_{self.label}"

    @property
    def box(self) -> np.ndarray:
        """(2, 3) float64, lower and upper corner of the axis-aligned box in the world frame."""
        turned = np.asarray(self.mesh.vertices) @ self.world_from_instance[:3, :3].T
        placed = turned + self.world_from_instance[:3, 3]
        return np.stack([placed.min(0), placed.max(0)])


@dataclass(frozen=True)
class Failure:
    """An object that could not be made: recorded, counted, never replaced by a dummy."""

    label: int
    stage: str  # "lift", "sample", "decode", ...
    reason: str


@dataclass(frozen=True)
class Support:
    """What an object stands on."""

    on: int | str | None  # the label of another object, GROUND, or None = not known
    confidence: float = 1.0  # in [0, 1]


@dataclass(frozen=True, eq=False)
class Scene:
    """The result: instances, failures, the estimated camera, and how it was made. Edits return a
    new Scene.
    """

    instances: tuple[Instance, ...]
    camera: Camera
    failures: tuple[Failure, ...] = ()
    ground_height: float = -0.5  # y of the ground plane in the scene frame
    frame: str = "view-centric"  # or "canonical"
    metres_per_unit: float | None = None  # None = unknown scale
    # method, checkpoint, options, seconds, ...; JSON types only
    provenance: dict[str, Any] = field(default_factory=dict)
    input: SceneInput | None = None  # kept for regenerate() and the preview
    # label -> what the instance stands on; a label that is missing is not known
    supports: Mapping[int, Support] = field(default_factory=dict)
    # ground, floor and walls: no objects, and shown only where they are asked for
    around: tuple[Instance, ...] = ()

    @property
    def everything(self) -> tuple[Instance, ...]:
        """The instances, then what is around them."""
        return (*self.instances, *self.around)

    @property
    def labels(self) -> set[int]:
        """Those that are taken, by instances, by what is around them, and by masks."""
        taken = {one.label for one in self.everything}
        if self.input is not None:
            taken |= {mask.label for mask in self.input.masks}
        return taken

    @property
    def nodes(self) -> set[str]:
        """Names of the glTF nodes of instances and of what is around them."""
        return {one.node_name for one in self.everything}

    def __repr__(self) -> str:
        names = [i.node_name for i in self.instances[:SHOWN]]
        names += ["..."] * (len(self.instances) > SHOWN)
        noun = "object" if len(self.instances) == 1 else "objects"
        failed = f"; {len(self.failures)} failed" if self.failures else ""
        return f"Scene({len(self.instances)} {noun}: {', '.join(names)}{failed})"

    def _repr_html_(self) -> str:
        """The scene in 3D where a notebook shows it."""
        from maquette.export.page import notebook_frame

        return notebook_frame(self)

    def __getitem__(self, which: Which) -> Instance:
        """The instance with this label, node name, or name of its mask if no other one has it;
        InputError names what there is.
        """
        for key in ("label", "node_name", "name"):
            found = [i for i in self.instances if getattr(i, key) == which]
            if len(found) == 1 and which != "":
                return found[0]
        known = {i.label: i.node_name for i in self.instances}
        like = difflib.get_close_matches(str(which), known.values(), 1)
        there = ", ".join(f"{label} ({node})" for label, node in known.items()) or "no object"
        meant = f"did you mean {like[0]!r}? It" if like else "it"
        asked = f"name {which!r}" if isinstance(which, str) else f"label {which}"
        raise InputError(f"{asked} is not in the scene; {meant} has {there}")

    def _with(self, which: Which, **changes: Any) -> Scene:
        old = self[which]
        changed = dataclasses.replace(old, **changes)
        instances = tuple(changed if i is old else i for i in self.instances)
        return dataclasses.replace(self, instances=instances)

    def move(
        self,
        label: Which,
        translation: tuple[float, float, float] | np.ndarray,
        carry: bool = False,
    ) -> Scene:
        """A scene in which one instance is shifted by ``translation`` (3,) in scene units; with
        ``carry`` also what stands on it.
        """
        moved = self
        for each in (self[label].label, *(self.carried(label) if carry else ())):
            placed = self[each].world_from_instance
            moved = moved._with(each, world_from_instance=shifted(placed, translation, each))
        return moved

    def carried(self, label: Which) -> tuple[int, ...]:
        """The labels of the instances that stand on one, or on one that does; ascending."""
        on = {i.label: self.support(i.label).on for i in self.instances}
        return carried_by(on, self[label].label)

    def support(self, label: int) -> Support:
        """What an instance stands on; nothing known of it is a Support of that, too."""
        return self.supports.get(label, Support(None, 0.0))

    def stand(self, label: Which, on: Which) -> Scene:
        """A scene in which an instance stands on another one, or on "ground": it is moved up or
        down until it touches, with all that stands on it. InputError when it is not above it.
        """
        from maquette.simulation.contact import stand

        return stand(self, self[label].label, on if on == GROUND else self[on].label)

    def transform(
        self,
        label: Which,
        world_from_instance: np.ndarray,
        carry: bool = False,
    ) -> Scene:
        """A scene in which one instance has a new (4, 4) transform; with ``carry`` what stands on
        it goes along.
        """
        placed = _finite(world_from_instance, (4, 4), f"the transform of instance {label}")
        moved = self
        for each in self.carried(label) if carry else ():
            pose = carried_pose(
                self[each].world_from_instance, self[label].world_from_instance, placed
            )
            moved = moved._with(each, world_from_instance=pose)
        return moved._with(label, world_from_instance=placed)

    def delete(self, label: Which) -> Scene:
        """A scene without one instance."""
        deleted = self[label]
        label = deleted.label
        kept = tuple(i for i in self.instances if i is not deleted)
        on = {one: support.on for one, support in self.supports.items()}
        known = {one: self.supports[one] for one in left_standing(on, [label])}
        return dataclasses.replace(self, instances=kept, supports=known)

    def hide(self, label: Which, hidden: bool = True) -> Scene:
        """A scene in which one instance is hidden, or shown again."""
        return self._with(label, hidden=hidden)

    def visible(self) -> Scene:
        """The scene without its hidden instances."""
        return dataclasses.replace(self, instances=tuple(i for i in self.instances if not i.hidden))

    def duplicate(
        self,
        label: Which,
        translation: tuple[float, float, float] | np.ndarray = (0.0, 0.0, 0.0),
    ) -> Scene:
        """A scene with a copy of one instance, shifted by ``translation`` (3,); it has the smallest
        free label and the node <node>_copy.

        The copy has no mask of its own, so neither confidence nor the state with which it could be
        regenerated.
        """
        original = self[label]
        label = original.label
        node = free_node(original.node_name, self.nodes)
        placed = shifted(original.world_from_instance, translation, label)
        unchecked = dataclasses.replace(original, confidence=float("nan"), state={})
        copy = dataclasses.replace(
            unchecked,
            label=free_label(self.labels),
            node=node,
            world_from_instance=placed,
        )
        instances = sorted((*self.instances, copy), key=lambda i: i.label)
        supports = dict(self.supports)
        if label in supports:
            supports[copy.label] = supports[label]
        return dataclasses.replace(self, instances=tuple(instances), supports=supports)

    def rename(self, label: Which, node: str) -> Scene:
        """A scene in which one instance's node has another name; names stay unique."""
        old = self[label]
        check_node(old.label, node, self.nodes - {old.node_name})
        return self._with(label, node=node)

    def replace(
        self,
        label: Which,
        mesh: trimesh.Trimesh,
        fit: bool = True,
    ) -> Scene:
        """A scene in which one instance has another mesh, in the same place: as large as fits into
        the old one's box, and standing where that stood. Without ``fit`` the mesh keeps its size,
        and the middle of its box comes to the middle of the old one's. InputError when it is no
        mesh with faces and finite vertices.
        """
        old = self[label]
        check_mesh(mesh, f"the new mesh of instance {label}")
        centred = mesh.copy()
        centred.apply_translation(-centred.bounds.mean(0))
        if not fit:
            return self._with(label, mesh=centred)
        before = old.mesh.extents
        now = centred.extents
        thick = (before > 0) & (now > 0)  # a flat mesh has a side of zero
        largest = before.max() / now.max()
        centred.apply_scale(float((before[thick] / now[thick]).min(initial=largest)))
        changed = self._with(label, mesh=centred)
        sunk = old.box[0, 1] - changed[old.label].box[0, 1]
        return changed.move(old.label, (0.0, sunk, 0.0))

    def regenerate(
        self,
        label: Which,
        seed: int,
        **options: Any,
    ) -> Scene:
        """A scene in which one instance is made anew from another seed at its place; all others
        stay bit-identical.
        """
        from maquette.pipeline import regenerate  # the verbs live downstream of the nouns

        return regenerate(self, label, seed=seed, **options)

    def settle(self, progress: Callable[[str, float], None] | None = None, **options: Any) -> Scene:
        """A scene whose objects are at rest, as physics leaves them; what was done to each is in
        ``provenance["settled"]``. progress: called with "settle" and the share done; options:
        fields of SimulationOptions. Needs the extra "sim".
        """
        from maquette.options import SimulationOptions
        from maquette.simulation.settle import settle

        refuse_unknown(options, names_of(SimulationOptions), "settle")
        return settle(self, SimulationOptions(**options), progress).scene

    def export(self, path: StrPath, **options: Any) -> Path:
        """Write the scene; the suffix chooses the format: .glb, .obj, .ply, .stl, .html for a page
        that shows it, .json for the scene document, or a simulator's .xml (MJCF), .urdf, .sdf,
        .usda, .usdz.
        """
        from maquette.simulation.files import write_scene

        return write_scene(self, path, **options)


def making_seconds(seconds: Mapping[str, float]) -> float:
    """How long a scene took, from the seconds per stage in its provenance, without those that only
    write it down: what the picture and the terminal say.
    """
    return sum(spent for stage, spent in seconds.items() if stage not in WRITING)


# What edits of a Scene, and of its document (document/edits.py), do and check alike: every rule of
# an edit stands here once


def carried_by(on: Mapping[int, int | str | None], label: int) -> tuple[int, ...]:
    """The labels of what stands on an object, or on what does; ascending. ``on``: label -> what it
    stands on.
    """
    found: set[int] = set()
    pending = [label]
    while pending:
        lower = pending.pop()
        direct = {upper for upper, support in on.items() if support == lower}
        pending += direct - found
        found |= direct
    return tuple(sorted(found - {label}))


def left_standing(on: Mapping[int, int | str | None], gone: Collection[int]) -> list[int]:
    """The labels of what stays, and stands on what stays, when some objects go. ``on`` as in
    ``carried_by``.
    """
    return [upper for upper, support in on.items() if upper not in gone and support not in gone]


def carried_pose(pose: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(4, 4) where something is that goes along with its supporter, from before to after."""
    return np.asarray(after @ np.linalg.inv(before) @ pose)


def check_node(label: int, node: str, others: Collection[str]) -> None:
    """Refuse a node name that is empty, taken by one of ``others``, or not writable as text."""
    if not node or node in others:
        raise InputError(
            f"cannot rename instance {label} to {node!r}: the name is empty or taken; "
            "choose another"
        )
    check_unicode(node, f"the new name {node!r} of instance {label}")


def check_unicode(text: str, what: str) -> None:
    """Refuse text with a zero character, which no file name or C program can hold, or with half of
    a surrogate pair, which UTF-8 cannot. ``what`` begins the message.
    """
    if "\0" in text:
        raise InputError(f"{what} has a zero character (NUL); leave it out")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise InputError(
            f"{what} has {half}, half of a surrogate pair, which UTF-8 cannot hold; leave it out"
        ) from error


def free_label(taken: Collection[int]) -> int:
    """The smallest positive label that is not taken."""
    return next(label for label in itertools.count(1) if label not in taken)


def node_names(masks: Iterable[InstanceMask]) -> dict[int, str]:
    """The node of every named object, by label: its name, with a number from the second object of
    that name on (cup, cup_2). Names that look like a label's own node (instance_3), or that no file
    can hold, give none.
    """
    nodes: dict[int, str] = {}
    for mask in masks:
        name = " ".join(mask.name.split())
        if name.isprintable() and not re.fullmatch(r"(instance_\d+)?", name):
            numbered = (f"{name}_{number}" for number in itertools.count(2))
            taken = set(nodes.values())
            nodes[mask.label] = next(n for n in itertools.chain([name], numbered) if n not in taken)
    return nodes


def own_node(node: str, taken: Collection[str]) -> str:
    """The name of a node, unless it is taken: then as ``free_node`` makes it."""
    return free_node(node, taken) if node in taken else node


def free_node(node: str, taken: Collection[str]) -> str:
    """A name for a copy of a node: <node>_copy, or with the first free number after it."""
    numbers = itertools.chain([""], itertools.count(2))
    return next(name for number in numbers if (name := f"{node}_copy{number}") not in taken)


def arrays_of(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and faces (F, 3) of a mesh as plain arrays."""
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def check_mesh(mesh: object, what: str) -> None:
    """Refuse what is no triangle mesh with faces, vertices that a file can hold, and indices of
    vertices that are there.
    """
    import trimesh  # heavy

    if not isinstance(mesh, trimesh.Trimesh):
        raise InputError(
            f"{what} is a {type(mesh).__name__}; give a trimesh.Trimesh, as trimesh.load_mesh does"
        )
    vertices, faces = arrays_of(mesh)
    if not len(vertices) or not len(faces):
        raise InputError(
            f"{what} has {len(vertices)} vertices and {len(faces)} faces; give a surface"
        )
    check_faces(faces, len(vertices), what)
    bad = np.flatnonzero(~(np.abs(vertices) <= LARGEST_COORDINATE).all(axis=1))
    if len(bad):
        wrong = f"{what}: vertex {bad[0]} is {vertices[bad[0]].tolist()}"
        raise InputError(f"{wrong}; expected finite numbers up to {LARGEST_COORDINATE:g}")
    if not np.ptp(vertices, axis=0).any():
        raise InputError(f"{what} is a single point; give a surface")


def check_faces(faces: np.ndarray, vertices: int, what: str) -> None:
    """Refuse faces (F, 3) that name a vertex that is not there; it is said which."""
    bad = np.flatnonzero(((faces < 0) | (faces >= vertices)).any(axis=-1))
    if len(bad):
        first = faces[bad[0]]
        index = first[(first < 0) | (first >= vertices)][0]
        raise InputError(
            f"{what}: face {bad[0]} refers to vertex {index} but there are {vertices}; "
            "repair the mesh or export it again"
        )


def shifted(
    placed: np.ndarray, translation: Sequence[float] | np.ndarray, label: int
) -> np.ndarray:
    """A transform (4, 4) of instance ``label``, shifted by ``translation`` (3,). InputError for a
    translation that is not finite.
    """
    moved = placed.copy()
    moved[:3, 3] += _finite(translation, (3,), f"the translation of instance {label}")
    return moved


def _finite(values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Values as float64 of a shape; InputError otherwise."""
    with contained(what, f"give numbers of shape {shape}"):
        array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not (np.abs(array) <= LARGEST_COORDINATE).all():
        found = str(array.tolist())[:200]
        raise InputError(f"{what} is {found}; give finite numbers of shape {shape}")
    return array
