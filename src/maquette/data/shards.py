"""Scenes and their views on disk: WebDataset shards, plain tar files that most training code can
stream.

Outlet of the data engine (layout -> scene -> views -> shards). One sample is one scene; the members
of sample 17 are
    00000017.scene.json       kind, placements, and per view camera, frame, kept placements and
                              depth unit
    00000017.instances.npz    the placed assets: vertices, faces, colors one after another, and
                              starts (P + 1, 2) of vertices, faces
    00000017.<v>.image.jpg    and .depth.png (16 bit), .normal.png (8 bit, 127.5 (n + 1)),
                              .mask.png (0 = background, k + 1 = placement `kept[k]`) of view v
What a sample holds depends on the configuration, the library and (seed, index) only: not on how
many processes wrote it. A shard appears under its name when it is complete, so building again
continues; `dataset.json` records what was built and refuses to mix two data sets, and beside each
shard a JSON file of its name says where in it the scenes lie. The folder may be a URL
(execute/store.py).
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from maquette.data.baking import Soup
from maquette.data.catalogue import AssetLike, Catalogue, LibraryLike
from maquette.data.compose import compose
from maquette.data.layout import Placement
from maquette.data.scenes import ComposedScene, SceneConfig
from maquette.data.views import View, ViewConfig, sample_views
from maquette.errors import InputError, MaquetteError
from maquette.execute.pool import HERE, Engine, keep_opencv_to, processes
from maquette.execute.processes import Ended
from maquette.execute.share import require_all
from maquette.execute.store import brought_here, path_at, prepared_folder, written
from maquette.output import sha256_of
from maquette.types import Camera, JsonObject, StrPath

Members = dict[str, bytes]  # files of one scene

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
    # vertices (V, 3), faces (F, 3), colors (V, 3) of each, in the frame of its asset
    meshes: tuple[Soup, ...]
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
    folder: StrPath,
    config: ShardConfig,
    *,
    engine: Engine = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the shards that ``folder`` lacks and that are of the engine's share; returns how many
    scenes were written now.

    ``progress`` is told (finished, all) scenes after each shard. InputError when the folder holds
    another data set, and with ``engine.merge`` when a shard is missing.
    """
    if config.scenes < 1 or config.views < 1:
        raise InputError(
            f"got {config.scenes} scenes and {config.views} views; each must be at least 1"
        )
    catalogue = Catalogue.of(library)
    root = prepared_folder(folder)
    _claim(root, catalogue, config)
    every = range(config.shards)
    if engine.merge:
        lacking = [name for name in map(shard_name, every) if not (root / name).exists()]
        require_all(lacking, len(every), "shards")
        return 0
    own = engine.share.part(every)
    missing = [shard for shard in own if not (root / shard_name(shard)).exists()]
    of = sum(len(_indices(config, shard)) for shard in own)
    done = of - sum(len(_indices(config, shard)) for shard in missing)
    before = done
    write = partial(_write_shard, catalogue, root, config)
    for scenes in _written(write, missing, engine, root):
        done += scenes
        if progress is not None:
            progress(done, of)
    return done - before


def shard_name(shard: int) -> str:
    """File name of a shard."""
    return f"scenes-{shard:06d}.tar"


def index_name(shard: str) -> str:
    """File name of what ``index_of`` tells of a shard, beside it."""
    return str(Path(shard).with_suffix(".json"))


def index_of(shard: BinaryIO) -> JsonObject:
    """Where the scenes of a shard lie in it: a reader that has this need not read what it does not
    use. Scene -> its kind and name -> [first byte, bytes]; the size of all tells another shard.
    Raises tarfile.TarError, and KeyError or ValueError, when it is none.
    """
    scenes: dict[str, JsonObject] = {}
    shard.seek(0)
    with tarfile.open(fileobj=shard) as tar:
        for member in tar:
            key, _, name = member.name.partition(".")
            members = scenes.setdefault(key, {"kind": "", "members": {}})
            members["members"][name] = [member.offset_data, member.size]
            if name == "scene.json":
                document = tar.extractfile(member)
                members["kind"] = json.loads(document.read())["kind"] if document else ""
    return {"size": shard.seek(0, io.SEEK_END), "scenes": scenes}


def _indices(config: ShardConfig, shard: int) -> range:
    """The scenes of a shard."""
    first = shard * config.per_shard
    return range(first, min(first + config.per_shard, config.scenes))


def _written(
    write: Callable[[int], int],
    missing: list[int],
    engine: Engine,
    root: Path,
) -> Iterator[int]:
    """Yield results as shards get finished. Leaving early ends the processes, which remove what
    they had not finished; other files of the folder may be another machine's, which builds, too.
    MaquetteError when all else is finished and a process had ended.
    """
    if not missing:
        return
    lost = []
    with processes(engine.at_most(len(missing)), [root], keep_opencv_to) as pool:
        for number, scenes in pool.outcomes(write, [(shard,) for shard in missing]):
            if isinstance(scenes, Ended):
                lost.append(f"{shard_name(missing[number])}: {scenes.reason}")
            else:
                yield scenes
    if lost:
        raise MaquetteError(
            f"{len(lost)} of {len(missing)} shards are missing ({lost[0]}); "
            "the others are written; repeat the command, with fewer jobs"
        )


def _claim(root: Path, catalogue: Catalogue, config: ShardConfig) -> None:
    """Record what is built in ``dataset.json``, or compare with what is recorded; only the number
    of scenes may grow.
    """
    digest = sha256_of("\n".join(catalogue.names).encode())
    wanted = {
        "version": VERSION,
        "library": digest[:16],
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
        different = {key for key in wanted if found.get(key) != wanted[key]} - {"scenes"}
        if different:
            raise InputError(
                f"{root} holds a data set with another {', '.join(sorted(different))}; "
                "use the same options or another folder"
            )
        if found["scenes"] >= config.scenes:
            return
        full, rest = divmod(found["scenes"], config.per_shard)
        if rest:  # the last shard ended early and is now to be full
            (root / shard_name(full)).unlink(missing_ok=True)
    elif any(root.glob("scenes-*.tar")):
        raise InputError(f"{root} holds shards but no dataset.json; choose another folder")
    with written(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


# ---- writing


def _write_shard(
    catalogue: Catalogue,
    root: Path,
    config: ShardConfig,
    shard: int,
) -> int:
    """Make the scenes of one shard and write them all or nothing; how many there are."""
    packed = io.BytesIO()
    with tarfile.open(
        fileobj=packed,
        mode="w",
        format=tarfile.USTAR_FORMAT,
    ) as tar:
        for index in _indices(config, shard):
            for name, content in _members(catalogue, config, index):
                # no time, no owner: the same bytes on every machine
                info = tarfile.TarInfo(f"{index:08d}.{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    with written(root / index_name(shard_name(shard))) as temporary:
        temporary.write_text(json.dumps(index_of(packed)), encoding="utf-8")
    with written(root / shard_name(shard)) as temporary:
        temporary.write_bytes(packed.getvalue())
    return len(_indices(config, shard))


def _members(catalogue: Catalogue, config: ShardConfig, index: int) -> Iterator[tuple[str, bytes]]:
    """The files of one scene: document, meshes, and the pictures of each view."""
    scene, views = make_scene(catalogue, config, index)
    placements = [_placement_document(p, catalogue) for p in scene.placements]
    document = {
        "version": VERSION,
        "index": index,
        "seed": config.seed,
        "kind": scene.kind,
        "placements": placements,
        "views": [_view_document(view, scene) for view in views],
    }
    yield "scene.json", json.dumps(document).encode()
    yield "instances.npz", _packed_meshes([catalogue.asset(p.asset) for p in scene.placements])
    for number, view in enumerate(views):
        for name, content in _pictures(view):
            yield f"{number}.{name}", content


def _pictures(view: View) -> Iterator[tuple[str, bytes]]:
    """A view as JPEG and as PNGs of depth (16 bits), normals and instances."""
    seen = np.isfinite(view.depth)
    steps = np.minimum(np.round(view.depth / _depth_unit(view.depth)), FAR - 1)
    depth = np.where(seen, steps, FAR).astype(np.uint16)
    scaled = np.round(127.5 * (view.normal + 1.0))
    normal = np.where(seen[..., None], scaled, 0).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    yield "image.jpg", _encoded(".jpg", view.image[..., ::-1], quality)
    yield "depth.png", _encoded(".png", depth)
    yield "normal.png", _encoded(".png", normal[..., ::-1])
    yield "mask.png", _encoded(".png", view.instance.astype(np.uint8))


def _depth_unit(depth: np.ndarray) -> float:
    """Scene units per step of a 16-bit depth picture, which reaches 16 units or twice the nearest
    surface; what is farther is clamped.
    """
    finite = depth[np.isfinite(depth)]
    farthest = min(float(finite.max(initial=1.0)), 16.0)
    return max(farthest, 2.0 * float(finite.min(initial=0.0))) / (FAR - 1)


def _placement_document(placement: Placement, catalogue: Catalogue) -> JsonObject:
    """A placement as JSON; the asset also by its name, for other libraries."""
    return {
        "asset": placement.asset,
        "name": catalogue.names[placement.asset],
        "world_from_asset": placement.world_from_asset.tolist(),
    }


def _view_document(view: View, scene: ComposedScene) -> JsonObject:
    """A view's numbers as JSON; its placements as numbers of those of the scene."""
    order = [id(placement) for placement in scene.placements]
    kept = [order.index(id(placement)) for placement in view.placements]
    return {
        "intrinsics": view.camera.intrinsics.tolist(),
        "scene_from_camera": view.camera.world_from_camera.tolist(),
        "scene_from_world": view.scene_from_world.tolist(),
        "ground_height": view.ground_height,
        "kept": kept,
        "depth_unit": _depth_unit(view.depth),
    }


def _packed_meshes(assets: list[AssetLike]) -> bytes:
    """Meshes as one .npz; row k of ``starts``: where vertices and faces of mesh k begin."""
    vertices = np.concatenate([asset.vertices for asset in assets]).astype(np.float32)
    faces = np.concatenate([asset.faces for asset in assets]).astype(np.int32)
    colors = np.concatenate([asset.colors for asset in assets]).astype(np.uint8)
    sizes = [[len(asset.vertices), len(asset.faces)] for asset in assets]
    starts = np.cumsum([[0, 0], *sizes], axis=0)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        vertices=vertices,
        faces=faces,
        colors=colors,
        starts=starts,
    )
    return file.getvalue()


def _encoded(suffix: str, picture: np.ndarray, options: list[int] | None = None) -> bytes:
    """A picture as a file; channels in OpenCV's order, blue first."""
    _, packed = cv2.imencode(suffix, np.ascontiguousarray(picture), options or [])
    return packed.tobytes()


# ---- reading


def shards_of(folder: StrPath) -> list[Path]:
    """The shards in a folder, in order; InputError when it has none."""
    shards = sorted(path_at(folder).glob("scenes-*.tar"))
    if not shards:
        raise InputError(
            f"{folder} holds no shards (scenes-*.tar); build some with 'maquette data build'"
        )
    return shards


def read_shards(folder: StrPath) -> Iterator[SceneSample]:
    """All scenes of a folder of shards, in order; InputError when it has none or one cannot be
    read.
    """
    for path in shards_of(folder):
        with brought_here(path) as here:
            yield from read_shard(here)


def read_shard(path: StrPath) -> Iterator[SceneSample]:
    """Stream the scenes of one shard; InputError when it is damaged."""
    members: Members = {}
    current = ""
    try:
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, name = info.name.partition(".")
                if key != current and members:
                    yield _sample(members)
                    members = {}
                current = key
                content = tar.extractfile(info)
                if content is None:  # we write regular files only
                    raise ValueError(f"{info.name} is not a file")
                members[name] = content.read()
        if members:
            yield _sample(members)
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is damaged or not a shard of maquette ({error}); delete it and build again"
        ) from error


def _sample(members: Members) -> SceneSample:
    """A scene from its files."""
    document = json.loads(members["scene.json"])
    names = tuple(entry["name"] for entry in document["placements"])
    meshes = tuple(_meshes(members["instances.npz"]))
    views = tuple(_view(members, k, document) for k in range(len(document["views"])))
    kind = document["kind"]
    return SceneSample(document["index"], kind, names, _placements(document), meshes, views)


def _placements(document: JsonObject) -> tuple[Placement, ...]:
    """Placements from their JSON."""
    return tuple(
        Placement(entry["asset"], np.array(entry["world_from_asset"]))
        for entry in document["placements"]
    )


def _meshes(packed: bytes) -> Iterator[Soup]:
    """The inverse of ``_packed_meshes``."""
    with np.load(io.BytesIO(packed)) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    for (vertex, face), (last_vertex, last_face) in itertools.pairwise(arrays["starts"].tolist()):
        own = slice(vertex, last_vertex)
        yield arrays["vertices"][own], arrays["faces"][face:last_face], arrays["colors"][own]


def decode_view(members: Members, number: int) -> View:
    """View ``number`` of a scene from its members: scene.json and the view's own pictures.

    Depth and normals may be missing: the view then has depth inf and normal 0 everywhere, and is
    read four times as fast.
    """
    return _view(members, number, json.loads(members["scene.json"]))


def _view(members: Members, number: int, document: JsonObject) -> View:
    """View ``number`` of a scene: the inverse of ``_pictures`` and ``_view_document``."""
    entry = document["views"][number]
    placements = _placements(document)
    image = np.ascontiguousarray(_decoded(members[f"{number}.image.jpg"])[..., ::-1])
    height, width = image.shape[:2]
    depth = np.full((height, width), np.inf, np.float32)
    normal = np.zeros(image.shape, np.float32)
    if f"{number}.depth.png" in members:
        steps = _decoded(members[f"{number}.depth.png"])
        seen = steps < FAR
        depth[seen] = steps[seen] * np.float32(entry["depth_unit"])
        encoded = _decoded(members[f"{number}.normal.png"])[..., ::-1].astype(np.float32)
        normal = encoded / np.float32(127.5) - 1
        length = np.maximum(np.linalg.norm(normal, axis=-1), 1e-6)
        normal *= (seen / length).astype(np.float32)[..., None]
    mask = _decoded(members[f"{number}.mask.png"]).astype(np.int32)
    intrinsics = np.array(entry["intrinsics"])
    pose = np.array(entry["scene_from_camera"])
    camera = Camera(intrinsics, pose, width, height)
    scene_from_world = np.array(entry["scene_from_world"])
    kept = tuple(placements[k] for k in entry["kept"])
    return View(image, depth, normal, mask, camera, scene_from_world, kept, entry["ground_height"])


def _decoded(content: bytes) -> np.ndarray:
    """The inverse of ``_encoded``; ValueError for a damaged picture."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("a picture cannot be decoded")
    return picture
