"""Scenes and their views on disk: WebDataset shards, plain tar files that most training code can
stream.

Outlet of the data engine (layout -> scene -> views -> shards). One sample is one scene; the members
of sample 17 are
    00000017.scene.json       kind, placements, and per view camera, frame, kept placements and
      depth unit
    00000017.instances.npz    the placed assets: vertices, faces, colors one after another, and
      starts (P + 1, 2) of vertices, faces
    00000017.<v>.image.jpg    and .depth.png (16 bit), .normal.png (8 bit, 127.5 (n + 1)), .mask.png
      (0 = background, k + 1 = placement
                              `kept[k]`) of view v
What a sample holds depends on the configuration, the library and (seed, index) only: not on how
many processes wrote it. A shard
appears under its name when it is complete, so building again continues; `dataset.json` records what
was built and refuses to mix two
data sets.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maquette.data.compose import compose
from maquette.data.layout import Catalogue, LibraryLike, Placement
from maquette.data.scenes import ComposedScene, SceneConfig
from maquette.data.views import View, ViewConfig, sample_views
from maquette.errors import InputError
from maquette.output import atomic_write, writable_folder
from maquette.processes import spawned
from maquette.types import Camera

VERSION = 1
JPEG_QUALITY = 95
FAR = 65535  # in a depth picture: nothing there
RETRIES = 10  # scenes tried for one index, should no camera see anything


@dataclass(frozen=True)
class ShardConfig:
    """What a data set consists of."""

    scenes: int
    views: int = 4  # per scene
    seed: int = 0
    per_shard: int = 64  # scenes
    scene: SceneConfig = field(default_factory=SceneConfig)
    view: ViewConfig = field(default_factory=ViewConfig)

    @property
    def shards(self) -> int:
        """How many shards there are; the last one may be shorter."""
        return -(-self.scenes // self.per_shard)


@dataclass(frozen=True, eq=False)
class SceneSample:
    """One scene as read back."""

    index: int
    kind: str
    names: tuple[str, ...]  # of the placed assets
    placements: tuple[Placement, ...]
    meshes: tuple[
        tuple[np.ndarray, np.ndarray, np.ndarray], ...
    ]  # vertices (V, 3), faces (F, 3), colors (V, 3), asset frames
    views: tuple[View, ...]


def make_scene(
    catalogue: Catalogue, config: ShardConfig, index: int
) -> tuple[ComposedScene, tuple[View, ...]]:
    """Scene ``index`` of a data set and its views: a function of the arguments only."""
    rng = np.random.default_rng((config.seed, index))
    for attempt in range(RETRIES):
        scene = compose(catalogue, rng, config.scene)
        try:
            return scene, sample_views(scene, catalogue, rng, config.views, config.view)
        except InputError:  # nothing visible: another scene of the same generator
            if attempt == RETRIES - 1:
                raise
    raise AssertionError("unreachable")


def build_shards(
    library: LibraryLike,
    folder: str | Path,
    config: ShardConfig,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the shards that ``folder`` lacks with ``jobs`` processes; returns how many scenes were
    written now.

    ``progress`` is told (finished, all) scenes after each shard. InputError when the folder holds
    another data set.
    """
    if config.scenes < 1 or config.views < 1 or jobs < 1:
        raise InputError(
            f"got {config.scenes} scenes, {config.views} views and {jobs} jobs; "
            "each must be at least 1"
        )
    catalogue = Catalogue.of(library)
    root = writable_folder(folder)
    _claim(root, catalogue, config)
    missing = [shard for shard in range(config.shards) if not (root / shard_name(shard)).exists()]
    done = config.scenes - sum(len(_indices(config, shard)) for shard in missing)
    before = done
    write = partial(_write_shard, catalogue, root, config)
    for written in map(write, missing) if jobs == 1 else _in_processes(write, missing, jobs):
        done += written
        if progress is not None:
            progress(done, config.scenes)
    return done - before


def shard_name(shard: int) -> str:
    """File name of a shard."""
    return f"scenes-{shard:06d}.tar"


def _indices(config: ShardConfig, shard: int) -> range:
    return range(shard * config.per_shard, min((shard + 1) * config.per_shard, config.scenes))


def _in_processes(write: Callable[[int], int], missing: list[int], jobs: int) -> Iterator[int]:
    """Yield results as shards get finished. Leaving early ends the processes, which remove what they
    had not finished; other files of the folder may be those of another machine that builds, too.
    """
    # the processes are the parallelism
    with spawned(min(jobs, max(len(missing), 1)), cv2.setNumThreads, (1,)) as pool:
        for shard in as_completed([pool.submit(write, number) for number in missing]):
            yield shard.result()


def _claim(root: Path, catalogue: Catalogue, config: ShardConfig) -> None:
    """Record what is built in ``dataset.json``, or compare with what is recorded; only the number
    of scenes may grow.
    """
    wanted = {
        "version": VERSION,
        "library": hashlib.sha256("\n".join(catalogue.names).encode()).hexdigest()[:16],
        "assets": len(catalogue),
    }
    wanted |= json.loads(json.dumps(dataclasses.asdict(config)))
    path = root / "dataset.json"
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(
                f"{path} is not readable JSON; delete the folder or choose another one"
            ) from None
        different = sorted(
            key for key in wanted if key != "scenes" and found.get(key) != wanted[key]
        )
        if different:
            raise InputError(
                f"{root} holds a data set with another {', '.join(different)}; "
                "use the same options or another folder"
            )
        if found["scenes"] > wanted["scenes"]:
            return
        last = found["scenes"] // config.per_shard
        if found["scenes"] < wanted["scenes"] and found["scenes"] % config.per_shard:
            (root / shard_name(last)).unlink(
                missing_ok=True
            )  # it ended early and is now to be full
    elif any(root.glob("scenes-*.tar")):
        raise InputError(f"{root} holds shards but no dataset.json; choose another folder")
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


# ---- writing
#   -------------------------------------------------------------------------------------------------------


def _write_shard(catalogue: Catalogue, root: Path, config: ShardConfig, shard: int) -> int:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for index in _indices(config, shard):
            for name, content in _members(catalogue, config, index):
                info = tarfile.TarInfo(
                    f"{index:08d}.{name}"
                )  # no time, no owner: the same bytes on every machine
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    with atomic_write(root / shard_name(shard)) as temporary:
        temporary.write_bytes(packed.getvalue())
    return len(_indices(config, shard))


def _members(catalogue: Catalogue, config: ShardConfig, index: int) -> Iterator[tuple[str, bytes]]:
    scene, views = make_scene(catalogue, config, index)
    units = [_depth_unit(view.depth) for view in views]
    document = {
        "version": VERSION,
        "index": index,
        "seed": config.seed,
        "kind": scene.kind,
        "placements": [
            {
                "asset": p.asset,
                "name": catalogue.names[p.asset],
                "world_from_asset": p.world_from_asset.tolist(),
            }
            for p in scene.placements
        ],
        "views": [_view_document(view, scene, unit) for view, unit in zip(views, units)],
    }
    yield "scene.json", json.dumps(document).encode()
    yield "instances.npz", _packed_meshes(catalogue, scene)
    for number, (view, unit) in enumerate(zip(views, units)):
        depth = np.where(
            np.isfinite(view.depth), np.minimum(np.round(view.depth / unit), FAR - 1), FAR
        ).astype(np.uint16)
        normal = np.where(
            np.isfinite(view.depth)[..., None], np.round(127.5 * (view.normal + 1.0)), 0
        ).astype(np.uint8)
        yield (
            f"{number}.image.jpg",
            _encoded(".jpg", view.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]),
        )
        yield f"{number}.depth.png", _encoded(".png", depth)
        yield f"{number}.normal.png", _encoded(".png", normal[..., ::-1])
        yield f"{number}.mask.png", _encoded(".png", view.instance.astype(np.uint8))


def _depth_unit(depth: np.ndarray) -> float:
    """Scene units per step of a 16-bit depth picture, which reaches 16 units or twice the nearest
    surface; what is farther is clamped.
    """
    finite = depth[np.isfinite(depth)]
    return max(min(float(finite.max(initial=1.0)), 16.0), 2.0 * float(finite.min(initial=0.0))) / (
        FAR - 1
    )


def _view_document(view: View, scene: ComposedScene, unit: float) -> dict[str, Any]:
    order = {id(placement): number for number, placement in enumerate(scene.placements)}
    return {
        "intrinsics": view.camera.intrinsics.tolist(),
        "scene_from_camera": view.camera.world_from_camera.tolist(),
        "scene_from_world": view.scene_from_world.tolist(),
        "ground_height": view.ground_height,
        "kept": [order[id(placement)] for placement in view.placements],
        "depth_unit": unit,
    }


def _packed_meshes(catalogue: Catalogue, scene: ComposedScene) -> bytes:
    assets = [catalogue.asset(p.asset) for p in scene.placements]
    starts = np.cumsum([[0, 0]] + [[len(a.vertices), len(a.faces)] for a in assets], axis=0)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        vertices=np.concatenate([a.vertices for a in assets]).astype(np.float32),
        faces=np.concatenate([a.faces for a in assets]).astype(np.int32),
        colors=np.concatenate([a.colors for a in assets]).astype(np.uint8),
        starts=starts,
    )
    return file.getvalue()


def _encoded(suffix: str, picture: np.ndarray, options: list[int] | None = None) -> bytes:
    _, packed = cv2.imencode(suffix, np.ascontiguousarray(picture), options or [])
    return packed.tobytes()


# ---- reading
#   -------------------------------------------------------------------------------------------------------


def read_shards(folder: str | Path) -> Iterator[SceneSample]:
    """All scenes of a folder of shards, in order; InputError when it has none or one cannot be
    read.
    """
    shards = sorted(Path(folder).glob("scenes-*.tar"))
    if not shards:
        raise InputError(
            f"{folder} holds no shards (scenes-*.tar); build some with 'maquette data build'"
        )
    for path in shards:
        yield from read_shard(path)


def read_shard(path: str | Path) -> Iterator[SceneSample]:
    """Stream the scenes of one shard; InputError when it is damaged."""
    members: dict[str, bytes] = {}
    current = ""
    try:
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, name = info.name.partition(".")
                if key != current and members:
                    yield _sample(members)
                    members = {}
                current = key
                members[name] = tar.extractfile(info).read()  # regular files only: we wrote them
        if members:
            yield _sample(members)
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is damaged or not a shard of maquette ({error}); delete it and build again"
        ) from error


def _sample(members: dict[str, bytes]) -> SceneSample:
    document = json.loads(members["scene.json"])
    placements = tuple(
        Placement(p["asset"], np.array(p["world_from_asset"])) for p in document["placements"]
    )
    with np.load(io.BytesIO(members["instances.npz"])) as packed:
        arrays = {name: packed[name] for name in packed.files}
    spans = list(zip(arrays["starts"][:-1], arrays["starts"][1:]))
    meshes = tuple(
        (
            arrays["vertices"][a[0] : b[0]],
            arrays["faces"][a[1] : b[1]],
            arrays["colors"][a[0] : b[0]],
        )
        for a, b in spans
    )
    names = tuple(p["name"] for p in document["placements"])
    views = tuple(
        _view(members, number, entry, placements) for number, entry in enumerate(document["views"])
    )
    return SceneSample(document["index"], document["kind"], names, placements, meshes, views)


def decode_view(members: dict[str, bytes], number: int) -> View:
    """View ``number`` of a scene from its members: scene.json and the view's own pictures.

    Depth and normals may be missing: the view then has depth inf and normal 0 everywhere, and is
    read four times as fast.
    """
    document = json.loads(members["scene.json"])
    placements = tuple(
        Placement(p["asset"], np.array(p["world_from_asset"])) for p in document["placements"]
    )
    return _view(members, number, document["views"][number], placements)


def _view(
    members: dict[str, bytes], number: int, entry: dict[str, Any], placements: tuple[Placement, ...]
) -> View:
    image = _decoded(members[f"{number}.image.jpg"])[..., ::-1]
    depth = np.full(image.shape[:2], np.inf, np.float32)
    normal = np.zeros(image.shape, np.float32)
    if f"{number}.depth.png" in members:
        steps = _decoded(members[f"{number}.depth.png"])
        normal = (
            _decoded(members[f"{number}.normal.png"])[..., ::-1].astype(np.float32)
            / np.float32(127.5)
            - 1
        )
        seen = steps < FAR
        normal *= (seen / np.maximum(np.linalg.norm(normal, axis=-1), 1e-6)).astype(np.float32)[
            ..., None
        ]
        depth = np.where(seen, steps * np.float32(entry["depth_unit"]), np.inf).astype(np.float32)
    return View(
        image=np.ascontiguousarray(image),
        depth=depth,
        normal=normal,
        instance=_decoded(members[f"{number}.mask.png"]).astype(np.int32),
        camera=Camera(
            np.array(entry["intrinsics"]),
            np.array(entry["scene_from_camera"]),
            image.shape[1],
            image.shape[0],
        ),
        scene_from_world=np.array(entry["scene_from_world"]),
        placements=tuple(placements[k] for k in entry["kept"]),
        ground_height=entry["ground_height"],
    )


def _decoded(content: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("a picture cannot be decoded")
    return picture
