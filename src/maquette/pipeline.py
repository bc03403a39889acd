"""The whole story: read, perceive, sample, decode, place, check.

Everything above this file is a part; everything below it (export, training, evaluation, command
line) uses its result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maquette import __version__
from maquette.checkpoints.catalogue import release
from maquette.checkpoints.diffusers_prior import open_prior
from maquette.checkpoints.embedded import PAINTER, ModelSet, load_models
from maquette.checkpoints.released import Networks, PublishedSet, open_release
from maquette.errors import InputError
from maquette.hardware import choose_device
from maquette.images import read_scene_input
from maquette.images.focal import focal_from_fov
from maquette.methods.base import Method, Placed, Progress, Sampling, Shape, ignore, silent
from maquette.methods.coherent import COHERENT, imagine_coherent
from maquette.methods.comboverse import COMBOVERSE
from maquette.methods.independent import INDEPENDENT
from maquette.methods.iscene import ISCENE
from maquette.methods.midi import MIDI
from maquette.methods.midi3d import make_midi3d
from maquette.methods.published import Maker, Settings, in_scene
from maquette.methods.trellis_iscene import make_iscene
from maquette.methods.trellis_large import make_trellis
from maquette.methods.triposg import make_triposg
from maquette.models.conditioning import camera_from_parameters
from maquette.render.silhouette import silhouette_scores
from maquette.scene.decode import mesh_from_volume, project_colours
from maquette.scene.fuse import fuse_evidence
from maquette.scene.perceive import Perception, perceive
from maquette.scene.place import ground_height, instance_seed, place
from maquette.types import Camera, Failure, Focal, Instance, Scene, SceneInput

METHODS: dict[str, Method] = {
    method.name: method for method in (ISCENE, MIDI, COHERENT, COMBOVERSE, INDEPENDENT)
}
EMBEDDED = "embedded"  # the model that ships with the package
ESTIMATE = "estimate"  # instead of a field of view: do not believe the photo's file
PUBLISHED: dict[str, Maker] = {
    "trellis-iscene": make_iscene,
    "midi-3d": make_midi3d,
    "trellis-large": make_trellis,
    "triposg": make_triposg,
}
# Of one try: instances, failures, the camera in the frame of the instances, and what the method
# decided itself.
Tried = tuple[tuple[Instance, ...], tuple[Failure, ...], Camera, dict[str, Any]]
Watchers = tuple[Callable[[Instance], None], Callable[[Scene], None]]  # on_instance, on_draft
OWN = ("prompt", "iterations", "layout", "prior")  # options of methods that arrange
PERCEPTION = "image-encoder"  # the kind of the network that every method starts from


@dataclass(frozen=True)
class Options:
    """Everything that decides the result besides the photo, the masks and the weights."""

    method: str | Method = "iscene"  # a name of METHODS, or a method of your own
    seed: int = 0
    samples: int = 1  # tries; the best by the self-check is kept
    steps: int | None = None  # of each pass; None = the method's default
    guidance: float | None = None
    device: str = "auto"
    # hold each volume to the silhouette and the visible surface (scene/fuse.py); False = the
    # generator alone
    fit: bool = True
    model: str = EMBEDDED  # or a published one, which brings its own method
    memory: int | None = (
        None  # bytes that a published model may take on the device; None = all it likes
    )
    fov: float | str | None = (
        # vertical field of view in degrees; "estimate"; None = what the photo's file tells, else
        # estimated
        None
    )

    prompt: str | None = (
        None  # what the photo shows, for methods that arrange; None = they say it themselves
    )
    iterations: int | None = None  # of arranging; None = the method's default
    layout: str | None = (
        None  # how to arrange: a switch for ablations; None = as the method's paper
    )
    prior: str | None = None  # folder of a text-to-image pipeline instead of the embedded one

    def __post_init__(self) -> None:
        if self.model != EMBEDDED and self.model not in PUBLISHED:
            raise InputError(
                f"unknown model {self.model!r}; choose from {', '.join([EMBEDDED, *PUBLISHED])}"
            )
        if not isinstance(self.method, Method) and self.method not in METHODS:
            raise InputError(f"unknown method {self.method!r}; choose from {', '.join(METHODS)}")
        if self.samples < 1 or (self.steps is not None and self.steps < 1):
            raise InputError(
                f"samples and steps must be at least 1, got samples={self.samples}, steps={self.steps}"
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"the seed must be between 0 and {2**32 - 1}, got {self.seed}")
        if self.fov not in (None, ESTIMATE) and (
            isinstance(self.fov, str) or not 0 < self.fov < 180
        ):
            raise InputError(
                f"the field of view must be between 0 and 180 degrees, or {ESTIMATE!r}, got {self.fov!r}"
            )
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise InputError(
                f"the guidance must be a finite number such as 1 (off) or 3, got {self.guidance}"
            )

        if self.own() and (self.model != EMBEDDED or self._method().tuned is None):
            raise InputError(
                f"{', '.join(self.own())}: options of --method comboverse only, not of {self._method().name}"
            )
        self.way()

    def _method(self) -> Method:
        return self.method if isinstance(self.method, Method) else METHODS[self.method]

    def own(self) -> dict[str, Any]:
        """The options that only some methods have, as far as they are given."""
        return {name: getattr(self, name) for name in OWN if getattr(self, name) is not None}

    def way(self) -> Method:
        """The method itself, with its own options. InputError when these are wrong."""
        method = self._method()
        return method if method.tuned is None else method.tuned(fit=self.fit, **self.own())

    def sampling(self) -> Sampling:
        """Steps and guidance, with the method's defaults filled in."""
        default = self.way().sampling
        return dataclasses.replace(
            default,
            steps=self.steps or default.steps,
            zoom_steps=self.steps or default.zoom_steps,
            guidance=default.guidance if self.guidance is None else self.guidance,
        )

    def record(self) -> dict[str, Any]:
        """The options for provenance, the method by its name."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return fields | {"method": self.way().name}

    def kinds(self) -> tuple[str, ...]:
        """The kinds of embedded weights that are needed."""
        return (PERCEPTION, *self.way().kinds) if self.model == EMBEDDED else (PERCEPTION,)

    def used(self, there: ModelSet | PublishedSet) -> tuple[str, ...]:
        """The kinds that are used of these weights, in the order of the networks: those needed,
        then the optional ones that are there.
        """
        optional = (
            self.way().optional if isinstance(there, ModelSet) and self.model == EMBEDDED else ()
        )
        return (*self.kinds(), *(kind for kind in optional if there.has(kind)))


@dataclass
class _Clock:
    """Seconds per stage. A stage within another one counts for itself only."""

    seconds: dict[str, float] = field(default_factory=dict)
    inner: float = 0.0  # seconds of the stages within the one that runs

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the body's time to a stage."""
        start = time.perf_counter()
        before = self.inner
        self.inner = 0.0
        yield
        whole = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + whole - self.inner, 3)
        self.inner = before + whole


def generate(
    photo: Any,
    masks: Any = None,
    *,
    only: Sequence[int | str] | None = None,
    weights: Any = None,
    models: ModelSet | None = None,
    progress: Progress = silent,
    on_instance: Callable[[Instance], None] = ignore,
    on_draft: Callable[[Scene], None] = ignore,
    **options: Any,
) -> Scene:
    """One photo and the masks of its objects -> an editable 3D scene.

    photo: a path, an array (H, W, 3) or a PIL image - or a SceneInput, then without masks. masks:
    any form that ``read_masks`` takes. only: labels or names of the instances to make. weights: a
    folder instead of the embedded weights; models: already loaded ones. on_instance: called with
    each instance as soon as it is made, before the self-check gives it a confidence, and again when
    it has moved; on_draft: then called with all that there is so far. Both for every try. options:
    the fields of ``Options`` (method, seed, samples, steps, guidance, device, fit, model, memory,
    fov, prompt, iterations, layout, prior). Raises InputError, CheckpointError.
    """
    chosen = Options(**options)
    clock = _Clock()
    device = choose_device(chosen.device)
    with clock.stage("read"):
        scene_input = (
            photo if isinstance(photo, SceneInput) else read_scene_input(photo, masks, only=only)
        )
        scene_input = dataclasses.replace(scene_input, focal=_focal(scene_input, chosen.fov))
    with clock.stage("load"):
        loaded = models or load_for(chosen, weights)
        geometry, *rest = loaded.models(chosen.used(loaded), device)
        networks = (
            _networks(loaded, chosen, device, len(scene_input.masks))
            if isinstance(loaded, PublishedSet)
            else chosen.way().networks(*rest)
        )
    attempt = _attempt if chosen.model == EMBEDDED else _attempt_published
    with torch.inference_mode():
        with clock.stage("perceive"):
            progress("perceive", 0.0)
            perception = perceive(geometry, scene_input)
        tries = [
            attempt(
                networks,
                scene_input,
                perception,
                chosen,
                chosen.seed + k,
                clock,
                progress,
                (on_instance, on_draft),
            )
            for k in range(chosen.samples)
        ]
    scores = [_score(tried[0], len(scene_input.masks)) for tried in tries]
    best = int(np.argmax(scores))
    instances, failures, camera, decided = tries[best]
    if not instances:
        reasons = "; ".join(f"{f.label}: {f.reason}" for f in failures[:3])
        raise InputError(
            f"{scene_input.source or 'the photo'}: no object could be made ({reasons})"
        )
    provenance = {
        "method": chosen.way().name if chosen.model == EMBEDDED else chosen.model,
        "checkpoint": loaded.provenance(chosen.used(loaded)),
        "maquette": __version__,
        "torch": torch.__version__,
        "device": device.type,
        "options": chosen.record() | decided,
        "focal": "estimated" if scene_input.focal is None else scene_input.focal.source,
        "tries": [
            {"seed": chosen.seed + k, "score": round(s, 4), "kept": k == best}
            for k, s in enumerate(scores)
        ],
        "seconds": clock.seconds,
        "peak_memory_mb": peak_memory_mb(),
    }
    if isinstance(networks, Networks):
        provenance |= {"memory": networks.report()}
    return Scene(
        instances=instances,
        camera=camera,
        failures=failures,
        ground_height=ground_height(instances),
        provenance=provenance,
        input=scene_input,
    )


def _focal(scene_input: SceneInput, fov: float | str | None) -> Focal | None:
    """The focal length to use, from the user before the photo's file; None = estimate it.
    InputError when the photo cannot have it.
    """
    if fov is None:
        return scene_input.focal
    height, width = scene_input.image.shape[:2]
    return None if fov == ESTIMATE else focal_from_fov(float(fov), width, height)


def load_for(options: Options, weights: Any = None) -> ModelSet | PublishedSet:
    """The weights that the options need, from the package, from where they were fetched, or from a
    folder. Raises CheckpointError.
    """
    if options.model == EMBEDDED:
        if options.prior is None:
            return load_models(weights, options.kinds())
        models = load_models(weights, [kind for kind in options.kinds() if kind != PAINTER])
        return models.with_painter(
            open_prior(options.prior, choose_device(options.device)), Path(options.prior)
        )
    return PublishedSet(
        open_release(release(options.model), weights), load_models(None, (PERCEPTION,))
    )


def _networks(
    loaded: PublishedSet, options: Options, device: torch.device, instances: int
) -> Networks:
    """The networks of a published model under the memory plan for this photo."""
    return Networks(
        loaded.released, loaded.released.plan(device, instances, options.memory), device
    )


def _attempt_published(
    networks: Networks,
    scene_input: SceneInput,
    perception: Perception,
    options: Options,
    seed: int,
    clock: _Clock,
    progress: Progress,
    watchers: Watchers,
) -> Tried:
    """One try of a published model: its meshes brought into the scene frame, and checked."""
    with clock.stage("sample"):
        made = PUBLISHED[options.model](
            networks, scene_input, Settings(seed, options.steps, options.guidance), progress
        )
    if not made.meshes:
        return (), made.failures, perception.camera, {}
    with clock.stage("place"):
        instances, camera = in_scene(made, scene_input, perception)
    for instance in instances:
        watchers[0](instance)
    with clock.stage("check"):
        return (
            check(instances, scene_input, dataclasses.replace(perception, camera=camera)),
            made.failures,
            camera,
            {},
        )


def _attempt(
    networks: Any,
    scene_input: SceneInput,
    perception: Perception,
    options: Options,
    seed: int,
    clock: _Clock,
    progress: Progress,
    watchers: Watchers,
) -> Tried:
    """One try with one seed: placed, coloured and checked instances, and what failed."""
    generate_all = options.way().generate
    names = {mask.label: mask.name for mask in scene_input.masks}
    made: dict[int, Instance | Failure] = {}
    on_instance, on_draft = watchers

    def add(shape: Shape | Placed) -> None:
        with clock.stage("mesh"):
            done = made[shape.label] = _instance(
                shape, scene_input, perception, names[shape.label], options.fit
            )
        if isinstance(done, Instance):
            on_instance(done)
            on_draft(
                Scene(
                    tuple(i for i in made.values() if isinstance(i, Instance)),
                    perception.camera,
                    input=scene_input,
                )
            )

    with clock.stage("sample"):
        outcome = generate_all(
            networks,
            scene_input.image,
            perception,
            list(names),
            seed,
            options.sampling(),
            progress,
            add,
        )
    instances = tuple(instance for instance in made.values() if isinstance(instance, Instance))
    failures = (
        *outcome.failures,
        *(failure for failure in made.values() if isinstance(failure, Failure)),
    )
    with clock.stage("check"):
        checked = check(instances, scene_input, perception)
    return checked, failures, perception.camera, outcome.record


def _instance(
    shape: Shape | Placed, scene_input: SceneInput, perception: Perception, name: str, fit: bool
) -> Instance | Failure:
    if isinstance(shape, Placed):
        return place(
            shape.label,
            shape.mesh,
            shape.seed,
            name=name,
            state=shape.state,
            warnings=shape.warnings,
        )
    volume = shape.volume
    if fit:
        volume = fuse_evidence(
            volume, scene_input.image, perception, shape.label, shape.scene_from_cube
        )
    mesh = mesh_from_volume(volume, shape.scene_from_cube)
    if mesh is None:
        return Failure(shape.label, "decode", "its volume holds no surface; try another seed")
    mesh = project_colours(mesh, shape.label, scene_input.image, perception)
    return place(shape.label, mesh, shape.seed, name=name, state=shape.state)


def check(
    instances: tuple[Instance, ...], scene_input: SceneInput, perception: Perception
) -> tuple[Instance, ...]:
    """The self-check: the same instances with the IoU of their projected silhouette and input mask
    as confidence.
    """
    scores = silhouette_scores(instances, scene_input.masks, perception.camera)
    return tuple(dataclasses.replace(i, confidence=scores[i.label].visible) for i in instances)


def _score(instances: tuple[Instance, ...], wanted: int) -> float:
    """Mean confidence over all wanted instances; one that is missing counts as zero."""
    return sum(i.confidence for i in instances) / max(wanted, 1)


def regenerate(
    scene: Scene,
    label: int,
    *,
    seed: int,
    weights: Any = None,
    models: ModelSet | None = None,
    device: str = "auto",
    steps: int | None = None,
    guidance: float | None = None,
    fit: bool = True,
    method: str | Method | None = None,
) -> Scene:
    """The scene with one instance made anew from another seed, at its place; all other instances
    are the same objects.

    The other arguments are those of ``generate``; without ``method``, the one that made the scene.
    """
    old = scene[label]
    if scene.input is None or not old.state:
        raise InputError(
            f"instance {label} cannot be regenerated: the scene does not hold its photo, masks and state; generate it again"
        )
    chosen = scene.provenance.get("method", "iscene") if method is None else method
    options = Options(
        method=chosen, seed=seed, device=device, steps=steps, guidance=guidance, fit=fit
    )
    if method is None and options.way().tuned is not None:
        made_with = scene.provenance.get("options", {})
        options = dataclasses.replace(
            options, **{name: made_with[name] for name in OWN if made_with.get(name) is not None}
        )
    way = options.way()
    target = choose_device(device)
    loaded = models or load_for(options, weights)
    geometry, *rest = loaded.models(options.used(loaded), target)
    with torch.inference_mode():
        perception = perceive(geometry, scene.input)
        drawn = instance_seed(seed, label)
        shape = way.remake(
            way.networks(*rest),
            scene.input.image,
            perception,
            label,
            drawn,
            old.state,
            options.sampling(),
        )
    made = _instance(shape, scene.input, perception, old.name, options.fit)
    if isinstance(made, Failure):
        raise InputError(f"instance {label} with seed {seed}: {made.reason}")
    made = check((made,), scene.input, perception)[0]
    return scene._with(
        label, mesh=made.mesh, seed=made.seed, confidence=made.confidence, warnings=made.warnings
    )


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
    options = Options(method=COHERENT, seed=seed, device=device, steps=steps)
    loaded = models or load_models(weights)
    target = choose_device(device)
    networks = COHERENT.networks(*loaded.models(COHERENT.kinds, target))
    camera = camera_from_parameters(
        np.array([0.45, 0.2, 0.0, 0.0, 0.2]), 512, 512
    )  # looks down by 26 degrees, sees the whole frame
    with torch.inference_mode():
        shapes = imagine_coherent(networks, camera, count, seed, options.sampling())
    meshes = {
        shape.label: (shape, mesh_from_volume(shape.volume, shape.scene_from_cube))
        for shape in shapes
    }
    instances = tuple(
        place(label, mesh, shape.seed)
        for label, (shape, mesh) in meshes.items()
        if mesh is not None
    )
    failures = tuple(
        Failure(label, "decode", "its volume holds no surface")
        for label, (_, mesh) in meshes.items()
        if mesh is None
    )
    provenance = {
        "method": COHERENT.name,
        "checkpoint": loaded.provenance(COHERENT.kinds),
        "maquette": __version__,
        "torch": torch.__version__,
        "device": target.type,
        "options": options.record(),
    }
    return Scene(
        instances=instances,
        camera=camera,
        failures=failures,
        ground_height=ground_height(instances),
        provenance=provenance,
    )


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process in MB; None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
