"""A release on the disk -> its networks on a device, when they are needed and for as long as the
memory plan allows.

In the flow: folders that ``fetch`` filled (or --weights) -> Parts (configuration, files, family) ->
``Networks``. Every configuration is read from the release's own files; nothing is assumed that a
file says.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maquette.checkpoints.catalogue import Release
from maquette.checkpoints.embedded import ModelSet
from maquette.checkpoints.fetch import locate, recorded_sums
from maquette.checkpoints.layouts import (
    FETCH,
    find_weights,
    read_config,
    read_shapes,
    read_tensors,
)
from maquette.checkpoints.memory import (
    MemoryPlan,
    ReleaseSize,
    choose_plan,
    peak_memory,
    reset_peak,
)
from maquette.checkpoints.published import clip, dinov2, iscene, midi, triposg
from maquette.checkpoints.published.base import Config, PublishedModel
from maquette.checkpoints.verify import model_of
from maquette.errors import CheckpointError, MissingExtraError, contained
from maquette.models.scene_context_flow import SceneContextFlow
from maquette.types import JsonObject, StrPath

ByRepository = Mapping[str, Path]  # of each repository

BASE = "microsoft/TRELLIS-image-large"
ISCENE = "LuLing/IScene"
DINOV2 = "facebook/dinov2-with-registers-large"
PIPELINE = "pipeline.json"
ISCENE_INDEX = "iscene_config.json"
EYES = "preprocessor_config.json"  # of a feature extractor
SCHEDULER = "scheduler_config.json"
# Our name of a TRELLIS network -> its entry in pipeline.json.
# networks in the layout of diffusers: name, folder, model
MIDI_PARTS = (
    ("clip", "image_encoder_1", clip.CLIP),
    ("dino", "image_encoder_2", dinov2.TRANSFORMERS),
    ("flow", "transformer", midi.FLOW),
    ("vae", "vae", triposg.VAE),
)
TRIPOSG_PARTS = (
    ("dino", "image_encoder_dinov2", dinov2.TRANSFORMERS),
    ("flow", "transformer", triposg.FLOW),
    ("vae", "vae", triposg.VAE),
)
TRELLIS_ENTRIES = {
    "structure-flow": "sparse_structure_flow_model",
    "structure-decoder": "sparse_structure_decoder",
    "slat-flow": "slat_flow_model",
    "mesh-decoder": "slat_decoder_mesh",
}


@dataclass(frozen=True)
class ReleasePart:
    """One network of a release."""

    name: str
    config: Config
    files: tuple[Path, ...]
    model: PublishedModel

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(file.stat().st_size for file in self.files)

    def build(self) -> nn.Module:
        """The network without weights."""
        return self.model.network(self.config)


@dataclass(frozen=True)
class Released:
    """A release that lies on the disk."""

    release: Release
    folders: ByRepository  # by repository
    parts: Mapping[str, ReleasePart]
    # samplers, normalisation, preprocessing: what the release's JSON files say
    settings: Mapping[str, Any]

    def provenance(self) -> JsonObject:
        """Name, and sha256 of the files where maquette recorded it, otherwise their sizes; for
        scene.json.
        """
        known = {}
        for repository, folder in self.folders.items():
            for path, value in recorded_sums(folder).items():
                known[f"{repository}/{path}"] = value
        if not known:
            known = {name: f"{part.bytes} bytes" for name, part in self.parts.items()}
        return {"name": self.release.name, "sha256": known}

    def plan(
        self,
        device: torch.device,
        instances: int,
        budget: float | None = None,
        precision: str = "auto",
        loaded: float = 0.0,
    ) -> MemoryPlan:
        """The memory plan for a photo with so many instances; see ``choose_plan``."""
        return choose_plan(
            self.size(), device, instances, budget, precision=precision, loaded=loaded
        )

    def size(self) -> ReleaseSize:
        """Configuration and parameters of each network, from the headers of its files."""
        configs = {name: part.config for name, part in self.parts.items()}
        sizes = {}
        for name, part in self.parts.items():
            sizes[name] = sum(map(math.prod, read_shapes(*part.files).values()))
        return ReleaseSize(self.release.name, configs, sizes)


@dataclass(frozen=True, eq=False)
class PublishedSet:
    """A release, and the embedded networks that perceive the photo for it."""

    released: Released
    embedded: ModelSet
    # networks that an earlier photo has left loaded, by name and precision
    _held: dict[tuple[str, torch.dtype], nn.Module] = field(default_factory=dict, repr=False)

    def networks(
        self,
        device: torch.device,
        instances: int,
        budget: float | None = None,
        precision: str = "auto",
    ) -> Networks:
        """The networks under the memory plan for a photo with so many instances. Those that an
        earlier photo has left loaded are used again.
        """
        loaded = sum(_bytes_on(network, device) for network in self._held.values())
        plan = self.released.plan(device, instances, budget, precision, loaded)
        networks = Networks(self.released, plan, device, held=self._held)
        networks.keep_to_plan()
        return networks

    def models(self, kinds: Iterable[str], device: torch.device | str = "cpu") -> list[Any]:
        """The embedded networks of several kinds, on a device."""
        return self.embedded.models(kinds, device)

    def has(self, kind: str) -> bool:
        """Whether the embedded weights of a kind are here."""
        return self.embedded.has(kind)

    def provenance(self, kinds: Iterable[str]) -> dict[str, object]:
        """Name of the release and sha256 of its files and of the embedded ones, for scene.json."""
        found = self.released.provenance()
        return found | {"sha256": found["sha256"] | self.embedded.provenance(kinds)["sha256"]}


def open_release(release: Release, root: StrPath | None = None) -> Released:
    """Find the files of a release, read its configurations, and name what is missing. Reads no
    weights. Raises CheckpointError.
    """
    folders = locate(release, root)
    parts, settings = OPENERS[release.name](folders)
    return Released(release, folders, {part.name: part for part in parts}, settings)


Opened = tuple[list[ReleasePart], JsonObject]  # networks and settings


def _component(name: str, folder: Path, model: PublishedModel) -> ReleasePart:
    """A network as diffusers and transformers store it."""
    return ReleasePart(name, read_config(folder / "config.json"), find_weights(folder), model)


def _open_midi(folders: ByRepository) -> Opened:
    (folder,) = folders.values()
    eyes = {name: folder / name / EYES for name in ("feature_extractor_1", "feature_extractor_2")}
    settings = {name: read_config(path) for name, path in eyes.items()}
    settings["scheduler"] = read_config(folder / "scheduler" / SCHEDULER)
    parts = [_component(name, folder / place, model) for name, place, model in MIDI_PARTS]
    return parts, settings


def _open_triposg(folders: ByRepository) -> Opened:
    (folder,) = folders.values()
    settings = {
        "preprocessor": read_config(folder / "feature_extractor_dinov2" / EYES),
        "scheduler": read_config(folder / "scheduler" / SCHEDULER),
    }
    parts = [_component(name, folder / place, model) for name, place, model in TRIPOSG_PARTS]
    return parts, settings


def _open_trellis(folders: ByRepository) -> Opened:
    base = folders[BASE]
    settings = _trellis_settings(base)
    parts = [_trellis_part(name, base, settings) for name in TRELLIS_ENTRIES]
    return [*parts, _component("dino", folders[DINOV2], dinov2.TRANSFORMERS)], settings


def _open_iscene(folders: ByRepository) -> Opened:
    base = folders[BASE]
    own = folders[ISCENE]
    settings = _trellis_settings(base)
    others = [name for name in TRELLIS_ENTRIES if name != "structure-flow"]
    parts = [_trellis_part(name, base, settings) for name in others]
    index = read_config(own / ISCENE_INDEX)
    keys = ("config_file", "denoiser_checkpoint", "image_conditioner_checkpoint")
    absent = [key for key in keys if key not in index]
    if absent:
        raise CheckpointError(f"{own / ISCENE_INDEX} lacks {', '.join(absent)}; {FETCH}")
    config_file, denoiser, conditioner = (own / index[key] for key in keys)
    told = _read_yaml(config_file)
    described = told.get("models", {})
    flow = _iscene_part("structure-flow", described.get("denoiser"), denoiser, iscene.FLOW)
    eyes = _iscene_part("dino", described.get("img_conditioner"), conditioner, iscene.CONDITIONER)
    slots = told.get("dataset", {}).get("args", {}).get("exp_setting")
    if slots is not None:
        flow.config["args"].setdefault("exp_setting", slots)
    (weights,) = flow.files
    build = partial(_build_scene_flow, weights)
    return [*parts, replace(flow, model=replace(flow.model, build=build)), eyes], settings


def _iscene_part(
    name: str,
    told: Mapping[str, Any] | None,
    file: Path,
    model: PublishedModel,
) -> ReleasePart:
    """A network of I-Scene's configuration file, which need not name its class. Its checkpoint may
    be a pickle; then ``fetch`` or ``models convert`` has taken the tensors out.
    """
    described = dict(told or {})
    config = {
        "name": model.classes[0],
        **described,
        "args": dict(described.get("args") or {}),
    }
    converted = file.with_suffix(".safetensors")
    return ReleasePart(name, config, (converted if converted.is_file() else file,), model)


def _build_scene_flow(file: Path, config: Config) -> nn.Module:
    """I-Scene's denoiser; which gates and biases it has is told by its keys, as configurations may
    leave it out.
    """
    return SceneContextFlow(iscene.options_of(read_shapes(file), iscene.flow_config(config)))


def _trellis_settings(base: Path) -> JsonObject:
    settings = read_config(base / PIPELINE).get("args", {})
    if not isinstance(settings.get("models"), dict):
        raise CheckpointError(f"{base / PIPELINE} lists no models; {FETCH}")
    return settings


def _trellis_part(name: str, base: Path, settings: Mapping[str, Any]) -> ReleasePart:
    """One network of pipeline.json: ``<path>.json`` beside ``<path>.safetensors``."""
    path = settings["models"].get(TRELLIS_ENTRIES[name])
    if path is None:
        raise CheckpointError(f"{base / PIPELINE} has no {TRELLIS_ENTRIES[name]}; {FETCH}")
    config = read_config(base / f"{path}.json")
    file = base / f"{path}.safetensors"
    if not file.is_file():
        raise CheckpointError(f"{file} is missing; {FETCH}")
    return ReleasePart(name, config, (file,), model_of(config, base / f"{path}.json"))


def _read_yaml(path: Path) -> JsonObject:
    """A configuration in YAML, or in JSON, which YAML contains."""
    with contained(f"cannot read {path}", FETCH, CheckpointError):
        text = path.read_text(encoding="utf-8")
    with contextlib.suppress(ValueError):
        return json.loads(text)
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            f"reading {path.name} needs pyyaml: pip install 'maquette[hub]'"
        ) from error
    with contained(f"{path} is not YAML", FETCH, CheckpointError):
        found = yaml.safe_load(text)
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds no mapping; {FETCH}")
    return found


OPENERS: dict[str, Callable[[ByRepository], Opened]] = {
    "trellis-iscene": _open_iscene,
    "midi-3d": _open_midi,
    "trellis-large": _open_trellis,
    "triposg": _open_triposg,
}


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a release on a device, under a memory plan: each is loaded when a stage asks
    for it, and freed after, if need be.
    """

    released: Released
    plan: MemoryPlan
    device: torch.device
    # stage -> measured peak in MB, the largest of several uses
    peaks: dict[str, float] = field(default_factory=dict)
    held: dict[tuple[str, torch.dtype], nn.Module] = field(default_factory=dict, repr=False)

    @contextlib.contextmanager
    def stage(self, name: str, *parts: str) -> Iterator[list[Any]]:
        """The networks that a stage runs, on the device; when the plan is staged they leave it
        afterwards. The stage's peak is measured.
        """
        reset_peak(self.device)
        try:
            yield [self._get(part) for part in parts]
        finally:
            self.peaks[name] = max(self.peaks.get(name, 0.0), peak_memory(self.device))
            if self.plan.staged:
                self._leave([(part, self.plan.dtype) for part in parts])

    def keep_to_plan(self) -> None:
        """Free what another plan has left loaded and this one does not keep."""
        for key in [key for key in self.held if key[1] != self.plan.dtype]:
            del self.held[key]
        if self.plan.staged:
            self._leave(list(self.held))

    def report(self) -> JsonObject:
        """The plan, estimated and measured peaks in MB by stage, as JSON types."""
        measured = {stage: round(peak, 1) for stage, peak in self.peaks.items() if peak == peak}
        estimated = {stage: round(peak, 1) for stage, peak in self.plan.estimates.items()}
        return {
            "plan": self.plan.describe(),
            "estimated_mb": estimated,
            "measured_mb": measured,
        }

    def _get(self, name: str) -> nn.Module:
        key = (name, self.plan.dtype)
        if key not in self.held:
            self.held[key] = load_part(self.released.parts[name], self.plan.dtype)
        return self.held[key].to(self.device)

    def _leave(self, keys: Iterable[tuple[str, torch.dtype]]) -> None:
        """Bring networks away from the device."""
        waits = self.plan.keep == "memory" and self.device.type != "cpu"
        for key in keys:
            network = self.held.pop(key, None)
            if waits and network is not None:
                self.held[key] = network.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _bytes_on(network: nn.Module, device: torch.device) -> int:
    """Bytes of a network's tensors that are on a kind of device."""
    tensors = (*network.parameters(), *network.buffers())
    return sum(t.nbytes for t in tensors if t.device.type == device.type)


def load_part(part: ReleasePart, dtype: torch.dtype) -> nn.Module:
    """Build a network without memory of its own and fill it with its weights. CheckpointError names
    the file that does not fit.
    """
    with torch.device("meta"):
        network = part.build()
    tensors = read_tensors(*part.files)
    try:
        part.model.load(network, tensors, dtype)
    except CheckpointError as error:
        raise CheckpointError(f"{part.files[0]}: {error}") from error
    return network
