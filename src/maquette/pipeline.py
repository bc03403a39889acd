"""The whole story: read, perceive, sample, decode, place, check.

Everything above this file is a part; everything below it (export, training, evaluation, command
line) uses its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from maquette import __version__
from maquette.attempt import Attempt, Callbacks, Clock, attempted, best_of, instance_of
from maquette.checkpoints.depth_networks import DepthNetwork
from maquette.checkpoints.embedded import PERCEPTION, ModelSet
from maquette.checkpoints.memory import peak_memory_mb
from maquette.declare import names_of, refuse_unknown
from maquette.errors import InputError, contained
from maquette.geometry.cameras import moved
from maquette.given.fit import KNOWN, GeometrySource
from maquette.hardware import choose_device
from maquette.inputs import read_scene_input
from maquette.methods.base import (
    Method,
    Progress,
    Weights,
    Workload,
    ignore,
    silent,
)
from maquette.methods.coherent import COHERENT, imagine_coherent
from maquette.methods.lookup import METHODS, PUBLISHED, installed_method
from maquette.models.conditioning import camera_from_parameters
from maquette.models.image_encoder import GeometryNet
from maquette.options import ESTIMATE, TUNING
from maquette.photos.focal import focal_from_fov
from maquette.photos.read import read_photo
from maquette.recipe import Options, load_for, open_perception
from maquette.stages.check import check
from maquette.stages.decode import mesh_from_volume
from maquette.stages.perceive import perceive
from maquette.stages.place import (
    UNIT,
    frame_of_instances,
    ground_height,
    instance_in_frame,
    place,
    scaled,
)
from maquette.stages.point import proposed
from maquette.stages.seen import with_seen_depth
from maquette.stages.support import known_supports
from maquette.types import Failure, Focal, Instance, JsonObject, Scene, SceneInput, Which

__all__ = ["METHODS", "PUBLISHED", "Options", "choose_device", "generate", "imagine", "regenerate"]

# what ``imagine`` sees: looks down by 26 degrees, sees the whole frame
IMAGINED_CAMERA = np.array([0.45, 0.2, 0.0, 0.0, 0.2])
IMAGINED_SIZE = 512  # pixels
PROPOSED = "no masks were given: the objects were found without them"
REUSED = ("texture", "triangles", "revolve")  # options of a scene, to make an object of it anew


def generate(
    photo: Any,
    masks: Any = None,
    *,
    only: Sequence[Which] | None = None,
    weights: Any = None,
    models: Weights | None = None,
    progress: Progress = silent,
    on_instance: Callable[[Instance], None] = ignore,
    on_draft: Callable[[Scene], None] = ignore,
    **options: Any,
) -> Scene:
    """One photo and the masks of its objects -> an editable 3D scene.

    photo: a path, an array (H, W, 3) or a PIL image - or a SceneInput, then without masks. masks:
    any form that ``read_masks`` takes; without them the objects are looked for. only: labels or
    names of the instances to make.

    weights: a folder instead of the embedded weights; models: already loaded ones. on_instance:
    called with each instance as soon as it is made, before the self-check gives it a confidence,
    and again when it has moved; on_draft: then called with all that there is so far. Both for every
    try. options:
    the fields of ``Options`` (method, seed, samples, steps, guidance, device, fit, texture,
    triangles, model, perception, memory, fov, prompt, iterations, layout, prior, settle,
    precision).

    What is known of depth and camera need not be estimated. It is given as further options, the
    fields of ``GeometrySource``: depth, a map (H, W) as file or array in ``depth_unit`` (auto, mm,
    cm, m, relative, or metres per step) and of a ``depth_kind`` (z; ray, the distance from the
    camera; inverse, 1 / z), where nan, inf and 0 are not known; points, a map (H, W, 3) in the
    camera's OpenCV axes instead; intrinsics, (fx, fy, cx, cy), a matrix (3, 3) or a file; gravity,
    (3,) where it pulls in the camera's axes. A metric depth sets ``metres_per_unit``.

    Raises InputError, CheckpointError.
    """
    source = _taken_out(options)
    chosen = Options(**options)
    clock = Clock()
    device = choose_device(chosen.device)
    with clock.stage("read"):
        given = _read(photo, masks, only, source, chosen.fov)
    with clock.stage("load"):
        loaded = models or load_for(chosen, weights)
        (geometry,) = loaded.models((PERCEPTION,), device)
        work = Workload(len(given.masks), chosen.memory, chosen.precision)
        method = chosen.chosen.open(loaded, device, work)
        network = open_perception(chosen)
    callbacks = Callbacks(progress, on_instance, on_draft)
    with torch.inference_mode():
        with clock.stage("perceive"):
            progress("perceive", 0.0)
            given = _seen_by(network, geometry, given)
            perception = perceive(geometry, given, chosen.revolve and chosen.fit)
        attempts = [
            attempted(method, perception, replace(chosen, seed=seed), clock, callbacks)
            for seed in range(chosen.seed, chosen.seed + chosen.samples)
        ]
    kept = best_of(attempts)
    provenance = _made_with(chosen, loaded, chosen.kinds_of(loaded), device)
    provenance |= _how_it_went(attempts, kept, given)
    provenance["options"] = chosen.record() | kept.decided
    scene = _scene_of(kept, given, provenance | method.report())
    if chosen.settle:
        with clock.stage("settle"):
            scene = _at_rest(scene, given, progress)
    return _with_costs(scene, clock)


def _at_rest(scene: Scene, given: SceneInput, progress: Progress) -> Scene:
    """The scene settled, with a warning for each object that cannot rest; or as it was made, with
    one, where that cannot be done: what is made is not lost.
    """
    try:
        with contained("the objects do not rest", "the scene is as it was made"):
            scene = scene.settle(progress)
        rows = scene.provenance.get("settled", ())
        told = [f"{row['node']}: {row['remark']}" for row in rows if not row["rests"]]
    except InputError as error:
        told = [str(error)]
    return replace(scene, input=replace(given, warnings=(*given.warnings, *told)))


def _with_costs(scene: Scene, clock: Clock) -> Scene:
    """The scene with what making it took in its provenance."""
    spent = {"seconds": clock.seconds, "peak_memory_mb": peak_memory_mb()}
    return replace(scene, provenance=scene.provenance | spent)


def _seen_by(network: DepthNetwork | None, ours: GeometryNet, given: SceneInput) -> SceneInput:
    """The input with the depth that a network of others sees, if there is one."""
    if network is None:
        return given
    return with_seen_depth(given, network, lambda bare: perceive(ours, bare).photo_depth)


def _scene_of(kept: Attempt, given: SceneInput, provenance: JsonObject) -> Scene:
    """What an attempt has made of the input."""
    instances, camera = kept.instances, kept.perception.camera
    if instances and kept.perception.given_depth is None:  # what is measured has its own unit
        new_from_old = frame_of_instances(instances)
        camera = moved(camera, new_from_old)
        instances = tuple(instance_in_frame(instance, new_from_old) for instance in instances)
    supports = known_supports(kept.perception.supports, {i.label for i in instances})
    return Scene(
        instances=instances,
        camera=camera,
        failures=kept.failures,
        ground_height=ground_height(instances, supports),
        metres_per_unit=kept.perception.metres_per_unit,
        provenance=provenance,
        input=given,
        supports=supports,
    )


def _how_it_went(attempts: Sequence[Attempt], kept: Attempt, given: SceneInput) -> JsonObject:
    """The part of the provenance that is of this run."""
    tries = [attempt.record() | {"kept": attempt is kept} for attempt in attempts]
    known = given.geometry
    told = {} if known is None else {"geometry": {"source": known.source, "metric": known.metric}}
    return told | {
        "focal": given.focal.source if given.focal else "estimated",
        "tries": tries,
    }


def _taken_out(options: JsonObject) -> GeometrySource:
    """What is known of depth and camera, out of all options. InputError for an unknown one."""
    refuse_unknown(options, [*names_of(Options), *KNOWN], "generate")
    return GeometrySource(**{key: options.pop(key) for key in KNOWN if key in options})


def _read(
    photo: Any,
    masks: Any,
    only: Sequence[Which] | None,
    source: GeometrySource,
    fov: float | str | None,
) -> SceneInput:
    """The input with the focal length that is to be used. Raises InputError."""
    given = photo
    if isinstance(photo, SceneInput):
        if source.is_there:
            raise InputError("depth and camera are part of a SceneInput; give them to its reader")
    elif masks is not None:
        given = read_scene_input(photo, masks, only=only, geometry=source)
    else:
        given = read_scene_input(photo, proposed(read_photo(photo)), only=only, geometry=source)
        given = replace(given, warnings=(PROPOSED, *given.warnings))
    return replace(given, focal=_focal(given, fov))


def _focal(given: SceneInput, fov: float | str | None) -> Focal | None:
    """The focal length to use, from the user before the photo's file; None = estimate it.
    InputError when the photo cannot have it.
    """
    if fov is None:
        return given.focal
    if given.geometry is not None and given.geometry.intrinsics is not None:
        raise InputError("both a field of view and intrinsics are given; give one of the two")
    height, width = given.image.shape[:2]
    return None if fov == ESTIMATE else focal_from_fov(float(fov), width, height)


def _made_with(
    options: Options,
    weights: Weights,
    kinds: Sequence[str],
    device: torch.device,
) -> JsonObject:
    """The part of the provenance that every scene has."""
    return {
        "method": options.chosen.name,
        "checkpoint": weights.provenance(kinds),
        "maquette": __version__,
        "torch": torch.__version__,
        "device": str(device),
    }


def regenerate(
    scene: Scene,
    which: Which,
    *,
    seed: int,
    weights: Any = None,
    models: ModelSet | None = None,
    method: str | Method | None = None,
    **options: Any,
) -> Scene:
    """The scene with one instance, told by its label or name, made anew from another seed, at its
    place; all other instances are the same objects.

    The other arguments are those of ``generate``; ``method``, ``texture`` and ``triangles`` are by
    default those that made the scene.
    """
    refuse_unknown(options, names_of(Options), "regenerate")
    old = scene[which]
    label = old.label
    if scene.input is None or not old.state:
        raise InputError(
            f"instance {label} cannot be regenerated: the scene does not hold its photo, masks "
            "and state; generate it again"
        )
    made_with = scene.provenance.get("options", {})
    kept: tuple[str, ...] = REUSED
    if method is None:
        method = installed_method(scene.provenance.get("method", "iscene"))
        kept = (*REUSED, *TUNING) if method.tuned else REUSED
    options = {name: made_with[name] for name in kept if name in made_with} | options
    chosen = Options(
        method=method,
        seed=seed,
        **options,
    )
    target = choose_device(chosen.device)
    loaded = models or load_for(chosen, weights)
    (geometry,) = loaded.models((PERCEPTION,), target)
    way = chosen.chosen.open(loaded, target, Workload(1))
    with torch.inference_mode():
        perception = perceive(geometry, scene.input, chosen.revolve and chosen.fit)
        anew = way.remake(perception, label, old.state, chosen.wishes)
    made = instance_of(anew, perception, chosen.finish)
    if isinstance(made, Failure):
        raise InputError(f"instance {label} with seed {seed}: {made.reason}")
    (made,) = check((made,), perception)
    made = replace(made, mesh=scaled(made.mesh, float(old.state.get(UNIT, 1.0))))
    return _with_remade(scene, made)


def _with_remade(scene: Scene, made: Instance) -> Scene:
    """The scene with another object in the place of one; how that one had come to rest is not said
    of it.
    """
    label = made.label
    names = ("mesh", "seed", "confidence", "warnings")
    renewed = scene._with(label, **{name: getattr(made, name) for name in names})
    if "settled" not in scene.provenance:
        return renewed
    rows = [row for row in scene.provenance["settled"] if row["label"] != label]
    return replace(renewed, provenance={**scene.provenance, "settled": rows})


def imagine(
    count: int = 5,
    *,
    seed: int = 0,
    weights: Any = None,
    models: ModelSet | None = None,
    device: str = "auto",
    steps: int | None = None,
) -> Scene:
    """A scene of ``count`` objects without a photo: a sample of what Coherent 3D Scene Diffusion
    has learnt of scenes.

    The other arguments are those of ``generate``. Raises InputError, CheckpointError.
    """
    if count < 1:
        raise InputError(f"a scene needs at least one object, got {count}")
    options = Options(COHERENT, seed, device=device, steps=steps)
    loaded = models or load_for(options, weights)
    target = choose_device(device)
    networks = COHERENT.networks(*loaded.models(COHERENT.kinds, target))
    camera = camera_from_parameters(IMAGINED_CAMERA, IMAGINED_SIZE, IMAGINED_SIZE)
    with torch.inference_mode():
        sampling = COHERENT.wanted(options.wishes)
        volumes = [*imagine_coherent(networks, camera, count, sampling)]
    instances = []
    failures = []
    for made in volumes:
        mesh = mesh_from_volume(made.volume, made.scene_from_cube)
        if mesh is None:
            failures.append(Failure(made.label, "decode", "its volume holds no surface"))
        else:
            instances.append(place(made.label, mesh, made.seed))
    provenance = _made_with(options, loaded, COHERENT.kinds, target)
    return Scene(
        instances=tuple(instances),
        camera=camera,
        failures=tuple(failures),
        ground_height=ground_height(instances, {}),
        provenance=provenance | {"options": options.record()},
    )
