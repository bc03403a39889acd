"""Assembling a run: networks by preset, data sources by name, tasks by network. What ``maquette
train`` calls.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from torch import nn

from maquette.checkpoints.embedded import BASES, FILES, embedded_folder
from maquette.checkpoints.store import Checkpoint, load_model
from maquette.data.layout import Catalogue
from maquette.data.library import AssetLibrary
from maquette.data.scenes import SceneConfig
from maquette.data.views import ViewConfig
from maquette.errors import CheckpointError, InputError
from maquette.models.coherent import Coherent, CoherentConfig
from maquette.models.generator import Generator, GeneratorConfig
from maquette.models.image_encoder import (
    GeometryNet,
    GeometryNetConfig,
    PictureEncoder,
    PictureEncoderConfig,
)
from maquette.models.part_shapes import PartShapes, PartShapesConfig
from maquette.models.structure_flow import StructureFlowConfig
from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig
from maquette.train.coherent import CoherentOptions, coherent_task
from maquette.train.finetune import PUBLISHED_PIXELS, finetune_task, open_base
from maquette.train.generator import GeneratorTask
from maquette.train.geometry import GeometryTask
from maquette.train.loop import Task
from maquette.train.midi import MidiOptions, midi_task
from maquette.train.sequences import RowConfig, SequenceSamples
from maquette.train.shapes import ShapeTask
from maquette.train.sources import RandomViews, Sources, scene_config
from maquette.train.stored import StoredViews
from maquette.train.text_to_image import TextToImageTask, new_text_to_image
from maquette.train.volumes import VolumeTask

NETWORKS = (
    "volume-vae",
    "image-encoder",
    "lift",
    "instance",
    "iscene",
    "midi",
    "shapes",
    "coherent",
    "text-to-image",
)
PRESETS = ("tiny", "cpu", "gpu")
SCENES = ("mixed", "random", "rooms")


@dataclass(frozen=True)
class RunOptions:
    """What to train, on what, with which switches (the ablations of I-Scene are switches)."""

    network: str
    library: str  # folder of an AssetLibrary
    held_out: str | None = (
        None  # folder of another one, for the examination; None = the same assets in other scenes
    )
    preset: str = "cpu"
    scenes: str = "mixed"  # "rooms" = curated-style rooms instead of random scenes (ablation)
    scene_context: bool = True  # False = without scene-context attention (ablation)
    frame: str = "view-centric"  # "canonical" (ablation)
    vae: str | None = None  # weights of the volume VAE; None = the embedded ones
    init: str | None = None  # weights to start from; for ``iscene`` the instance generator
    views: str | None = (
        # folder of shards with rendered views of that library's assets; None = render on the fly
        None
    )
    image_size: int = 256
    picture_size: int | None = (
        # of the image encoder's pictures; below its own size early training is several times
        # cheaper
        None
    )
    generator: str | None = (
        # weights of the generator whose encoder ``coherent`` looks through; None = the embedded
        # ones
        None
    )
    shapes: str | None = (
        None  # weights of the shapes that ``coherent`` makes; None = the embedded ones
    )
    midi: MidiOptions = field(default_factory=MidiOptions)
    coherent: CoherentOptions = field(default_factory=CoherentOptions)
    base: str | None = (
        # folder of releases in their original layouts; ``iscene`` then fine-tunes published weights
        None
    )
    seed: int = 0

    def __post_init__(self) -> None:
        if self.base is not None and (self.network != "iscene" or self.init is not None):
            raise InputError(
                "published weights (--base) are for `iscene` and exclude --init; leave one of them out"
            )
        for name, value, allowed in (
            ("network", self.network, NETWORKS),
            ("preset", self.preset, PRESETS),
            ("scenes", self.scenes, SCENES),
            ("frame", self.frame, ("view-centric", "canonical")),
        ):
            if value not in allowed:
                raise InputError(f"unknown {name} {value!r}; choose from {', '.join(allowed)}")


def network_configs(preset: str) -> tuple[VolumeVAEConfig, GeometryNetConfig, GeneratorConfig]:
    """Sizes of the three networks: tiny for tests, cpu = embedded, gpu = what an accelerator trains
    in half an hour.
    """
    if preset == "tiny":
        flow = StructureFlowConfig(
            resolution=4,
            channels=8,
            width=64,
            blocks=2,
            heads=2,
            context_width=32,
            scene_context_blocks=1,
            lift_resolution=16,
            lift_widths=(8, 16),
        )
        vae = VolumeVAEConfig(
            resolution=32, latent_channels=8, encoder_channels=(8, 16), decoder_channels=(16, 16)
        )
        geometry = GeometryNetConfig(
            size=64, widths=(8, 16, 32, 32), blocks=1, heads=2, layout_blocks=1, close=32
        )
        return (
            vae,
            geometry,
            GeneratorConfig(
                flow, PictureEncoderConfig(size=32, width=32, widths=(8, 16), blocks=1)
            ),
        )
    if preset == "gpu":
        flow = StructureFlowConfig(
            width=320, blocks=8, heads=5, lift_widths=(48, 96), scene_context_blocks=4
        )
        geometry = GeometryNetConfig(
            widths=(32, 64, 128, 192), deeper=(1, 2, 4, 3), layout_blocks=2, latitude=True, close=64
        )
        return VolumeVAEConfig(), geometry, GeneratorConfig(flow)
    return (
        VolumeVAEConfig(),
        GeometryNetConfig(deeper=(0, 1, 3, 2), layout_blocks=2, latitude=True, close=64),
        GeneratorConfig(),
    )


def start_from(net: nn.Module, old: nn.Module) -> None:
    """Copy the weights of an older network that may lack parts which the new one has; a part of
    another size is a CheckpointError.
    """
    known = net.state_dict()
    misfits = [
        name
        for name, tensor in old.state_dict().items()
        if name not in known or known[name].shape != tensor.shape
    ]
    if misfits:
        raise CheckpointError(
            f"the weights to start from are of another architecture ({misfits[0]}); leave --init or --preset out"
        )
    net.load_state_dict(old.state_dict(), strict=False)


def _libraries(options: RunOptions) -> tuple[AssetLibrary, AssetLibrary]:
    """The library, and the one that the periodic examination uses: another folder, or the library
    itself (then it shows the fit only).
    """
    library = AssetLibrary.open(options.library)
    return library, AssetLibrary.open(options.held_out) if options.held_out is not None else library


def build_task(options: RunOptions) -> Task:
    """The network, its data and its loss."""
    library, held_out = _libraries(options)
    vae_config, geometry_config, generator_config = network_configs(options.preset)
    if options.network == "volume-vae":
        vae = (
            load_model(options.init, "volume-vae").model if options.init else VolumeVAE(vae_config)
        )
        return VolumeTask(
            vae, library, held_out, crop=vae.config.resolution // 2, seed=options.seed
        )
    size = (
        (PUBLISHED_PIXELS if options.base else options.image_size)
        if options.preset != "tiny"
        else 2 * geometry_config.size
    )
    views = ViewConfig(size=size)
    composition = scene_config(options.scenes)
    kinds = None if options.scenes == "mixed" else {kind for kind, _ in composition.mix}
    source = (
        StoredViews.open(options.views, kinds)
        if options.views
        else RandomViews(Catalogue.of(library), composition, views)
    )
    unseen = RandomViews(Catalogue.of(held_out), SceneConfig(), views)
    if options.network == "image-encoder":
        net = GeometryNet(geometry_config)
        if options.init:
            start_from(net, load_model(options.init, "image-encoder").model)
        return GeometryTask(
            net, (source, unseen), (library, held_out), options.seed, options.picture_size
        )
    if options.base is not None:
        return finetune_task(
            open_base(options.base), source, unseen, (library, held_out), options.seed
        )
    if options.network == "text-to-image":
        prior = (
            load_model(options.init, "text-to-image").model
            if options.init
            else new_text_to_image(options.preset == "tiny")
        )
        return TextToImageTask(prior, Sources(library, held_out, source, unseen), options.seed)
    vae = _load(options.vae, "volume-vae").model
    sources = Sources(library, held_out, source, unseen)
    if options.network == "shapes":
        return ShapeTask(_shapes_start(options, vae), vae, library, held_out, options.seed)
    if options.network == "coherent":
        picture = _load(options.generator, "generator").model.picture
        shapes = _load(options.shapes, "shapes").model
        return coherent_task(
            _coherent_start(options, picture, shapes),
            picture,
            shapes,
            vae,
            sources,
            options.coherent.joint,
            options.seed,
        )
    if options.network == "midi":
        return midi_task(base_of(options), vae, sources, options.midi, options.seed)
    return _generator_task(options, generator_config, vae, sources)


def _coherent_start(options: RunOptions, picture: PictureEncoder, shapes: PartShapes) -> Coherent:
    """The denoisers that fit an encoder and shapes, new or from ``init``."""
    if options.init:
        return load_model(options.init, "coherent").model
    chosen = options.coherent
    tiny = (
        {"width": 32, "heads": 2, "pose_blocks": 2, "shape_blocks": 2}
        if options.preset == "tiny"
        else {}
    )
    return Coherent(
        CoherentConfig(
            picture.config.width,
            shapes.config.parts,
            shapes.config.intrinsic,
            intra_scene=chosen.intra_scene,
            diffusion=chosen.diffusion,
            yaw=chosen.yaw,
            **tiny,
        )
    )


def _shapes_start(options: RunOptions, vae: VolumeVAE) -> PartShapes:
    """The autoencoder of parts that fits a volume VAE, new or from ``init``."""
    if options.init:
        return load_model(options.init, "shapes").model
    tiny = (
        {"parts": 4, "intrinsic": 8, "width": 32, "pair_width": 16, "blocks": 1, "heads": 2}
        if options.preset == "tiny"
        else {}
    )
    return PartShapes(
        PartShapesConfig(vae.config.latent_resolution, vae.config.latent_channels, **tiny)
    )


def _load(path: str | None, kind: str) -> Checkpoint:
    """A file of weights, or the embedded ones of that kind."""
    return load_model(path or embedded_folder() / FILES[kind], kind)


def base_of(options: RunOptions) -> Checkpoint | None:
    """The checkpoint that a network starts from and is stored as a difference to; None when its
    file is complete.
    """
    return _load(options.init, BASES[options.network]) if options.network in BASES else None


def _generator_task(
    options: RunOptions, config: GeneratorConfig, vae: VolumeVAE, sources: Sources
) -> GeneratorTask:
    """The instance generator, or its reprogramming into the scene model."""
    config = replace(config, frame=options.frame)
    if not options.scene_context:
        config = replace(config, flow=replace(config.flow, scene_context_blocks=0))
    model = Generator(config)
    if options.init:
        model.load_state_dict(load_model(options.init, "generator").model.state_dict())
    scene_instances, zoom_instances = (0, 4) if options.network == "instance" else (2, 2)
    rows = RowConfig(scene_instances, zoom_instances, options.frame)
    resolution = vae.config.resolution
    samples = SequenceSamples(
        sources.views, sources.library, rows, config, resolution, options.seed
    )
    judged = replace(rows, augment=False, drop_lift=0.0)
    examined = SequenceSamples(
        sources.unseen, sources.held_out, judged, config, resolution, options.seed + 1
    )
    return GeneratorTask(model, vae, samples, examined, lift_only=options.network == "lift")


def data_record(options: RunOptions) -> dict[str, object]:
    """What a weights file says about its data."""
    library = AssetLibrary.open(options.library)
    record = {
        "assets": len(library),
        "library": Path(options.library).name,
        "scenes": options.scenes,
        "frame": options.frame,
        "scene_context": options.scene_context,
        "network": options.network,
        "preset": options.preset,
    }
    if options.base is not None:
        record["base"] = Path(options.base).name
    switches = {"midi": options.midi, "coherent": options.coherent}
    needs = {
        name: {"volume-vae": options.vae}
        for name in ("lift", "instance", "iscene", "midi", "shapes")
    }
    needs |= {"coherent": {"generator": options.generator, "shapes": options.shapes}}
    if options.network in needs and options.base is None:
        record["needs"] = {
            kind: _load(path, kind).sha256 for kind, path in needs[options.network].items()
        }
    return record | (
        {options.network: asdict(switches[options.network])} if options.network in switches else {}
    )
