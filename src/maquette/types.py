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
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maquette.errors import InputError

if TYPE_CHECKING:
    import trimesh


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without distortion."""

    intrinsics: np.ndarray  # (3, 3) float64, pixels
    world_from_camera: (
        np.ndarray
    )  # (4, 4) float64, rigid; world = the scene frame unless said otherwise
    width: int  # pixels
    height: int  # pixels

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
class SceneInput:
    """A photo and the masks of its objects, already decoded, upright and of one size."""

    image: np.ndarray  # (H, W, 3) uint8, sRGB
    masks: tuple[InstanceMask, ...]  # ascending labels, all (H, W), at least one pixel each
    source: str = ""  # where the photo came from, for provenance
    warnings: tuple[str, ...] = ()  # what reading and diagnosis found, for people
    focal: Focal | None = None  # None = not known: it is estimated


@dataclass(frozen=True, eq=False)
class Instance:
    """One object of the scene: a complete coloured mesh in its own frame, and where that frame
    stands.
    """

    label: int
    mesh: (
        trimesh.Trimesh
    )  # vertices in the instance frame (box centred on 0), vertex colours sRGB uint8 RGBA
    world_from_instance: np.ndarray  # (4, 4) float64, a similarity; world = the scene frame
    seed: int  # of this instance's noise
    confidence: float = float(
        "nan"
    )  # IoU of the projected silhouette with the input mask, in [0, 1]; nan = not checked
    name: str = ""  # free text; the node name is always ``instance_<label>`` unless renamed
    node: str = ""  # glTF node name
    warnings: tuple[str, ...] = ()
    state: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # what regenerate() needs, e.g. the instance's cube; arrays only
    hidden: bool = (
        False  # kept in the scene document, left out of pictures and of files for other programs
    )

    @property
    def node_name(self) -> str:
        """Name of the glTF node."""
        return self.node or f"instance_{self.label}"

    @property
    def box(self) -> np.ndarray:
        """(2, 3) float64, lower and upper corner of the axis-aligned box in the world frame."""
        corners = (
            np.asarray(self.mesh.vertices) @ self.world_from_instance[:3, :3].T
            + self.world_from_instance[:3, 3]
        )
        return np.stack([corners.min(0), corners.max(0)])


@dataclass(frozen=True)
class Failure:
    """An object that could not be made: recorded, counted, never replaced by a dummy."""

    label: int
    stage: str  # "lift", "sample", "decode", ...
    reason: str


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
    provenance: dict[str, Any] = field(
        default_factory=dict
    )  # method, checkpoint, options, seconds, ...; JSON types only
    input: SceneInput | None = None  # kept for regenerate() and the preview

    def __getitem__(self, label: int) -> Instance:
        """The instance with this label; InputError names the labels there are."""
        for instance in self.instances:
            if instance.label == label:
                return instance
        raise InputError(
            f"label {label} is not in the scene; it has {[i.label for i in self.instances]}"
        )

    def _with(self, label: int, **changes: Any) -> Scene:
        self[label]
        instances = tuple(
            dataclasses.replace(i, **changes) if i.label == label else i for i in self.instances
        )
        return dataclasses.replace(self, instances=instances)

    def move(self, label: int, translation: tuple[float, float, float] | np.ndarray) -> Scene:
        """A scene in which one instance is shifted by ``translation`` (3,) in scene units."""
        moved = self[label].world_from_instance.copy()
        moved[:3, 3] += np.asarray(translation, dtype=np.float64)
        return self._with(label, world_from_instance=moved)

    def transform(self, label: int, world_from_instance: np.ndarray) -> Scene:
        """A scene in which one instance has a new (4, 4) transform."""
        return self._with(
            label, world_from_instance=np.asarray(world_from_instance, dtype=np.float64)
        )

    def delete(self, label: int) -> Scene:
        """A scene without one instance."""
        self[label]
        return dataclasses.replace(
            self, instances=tuple(i for i in self.instances if i.label != label)
        )

    def hide(self, label: int, hidden: bool = True) -> Scene:
        """A scene in which one instance is hidden, or shown again."""
        return self._with(label, hidden=hidden)

    def visible(self) -> Scene:
        """The scene without its hidden instances."""
        return dataclasses.replace(self, instances=tuple(i for i in self.instances if not i.hidden))

    def duplicate(
        self, label: int, translation: tuple[float, float, float] | np.ndarray = (0.0, 0.0, 0.0)
    ) -> Scene:
        """A scene with a copy of one instance, shifted by ``translation`` (3,); it has the smallest
        free label and the node <node>_copy.

        The copy has no mask of its own, so neither confidence nor the state with which it could be
        regenerated.
        """
        masked = (
            () if self.input is None else self.input.masks
        )  # also the objects that failed or were deleted keep their labels
        taken = {i.label for i in (*self.instances, *masked)}
        nodes = {i.node_name for i in self.instances}
        free = next(k for k in itertools.count(1) if k not in taken)
        names = (
            f"{self[label].node_name}_copy{number}"
            for number in itertools.chain([""], itertools.count(2))
        )
        shifted = self[label].world_from_instance.copy()
        shifted[:3, 3] += np.asarray(translation, dtype=np.float64)
        copy = dataclasses.replace(
            self[label],
            label=free,
            node=next(n for n in names if n not in nodes),
            world_from_instance=shifted,
            confidence=float("nan"),
            state={},
        )
        return dataclasses.replace(
            self, instances=tuple(sorted((*self.instances, copy), key=lambda i: i.label))
        )

    def rename(self, label: int, node: str) -> Scene:
        """A scene in which one instance's node has another name; names stay unique."""
        if not node or any(i.node_name == node and i.label != label for i in self.instances):
            raise InputError(
                f"cannot rename instance {label} to {node!r}: the name is empty or taken; choose another"
            )
        return self._with(label, node=node)

    def replace(self, label: int, mesh: trimesh.Trimesh) -> Scene:
        """A scene in which one instance has another mesh, in the same place; the mesh is centred on
        its own box.
        """
        centred = mesh.copy()
        centred.apply_translation(-centred.bounds.mean(0))
        return self._with(label, mesh=centred)

    def regenerate(self, label: int, seed: int, **options: Any) -> Scene:
        """A scene in which one instance is made anew from another seed at its place; all others
        stay bit-identical.
        """
        from maquette.pipeline import regenerate  # the verbs live downstream of the nouns

        return regenerate(self, label, seed=seed, **options)

    def export(self, path: str | Path, **options: Any) -> Path:
        """Write the scene; the suffix chooses the format (.glb, .obj, .ply, .stl, or .json for the
        scene document).
        """
        from maquette.export import export_scene

        return export_scene(self, path, **options)
