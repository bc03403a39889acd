"""Assembling a run: networks by preset, data sources by name, tasks by network. What ``maquette
train`` calls.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from maquette.checkpoints.efficientnet import load_release
from maquette.checkpoints.embedded import BASES, FILES, PERCEPTION, embedded_folder
from maquette.checkpoints.store import Checkpoint, load_model
from maquette.data.catalogue import Catalogue
from maquette.data.library import AssetLibrary
from maquette.data.scenes import SceneConfig
from maquette.data.views import ViewConfig
from maquette.errors import CheckpointError, present
from maquette.models.coherent import Coherent, CoherentConfig
from maquette.models.generator import Generator, GeneratorConfig
from maquette.models.image_encoder import (
    GeometryNet,
    GeometryNetConfig,
    PictureEncoder,
    PictureEncoderConfig,
)
from maquette.models.part_shapes import PartShapes, PartShapesConfig
from maquette.models.segmenter import SegmenterConfig, SegmenterNet
from maquette.models.structure_flow import StructureFlowConfig
from maquette.models.text_to_image import TextToImage
from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig
from maquette.options.training import RunOptions
from maquette.train.coherent import CoherentTask, coherent_task
from maquette.train.finetune import PUBLISHED_PIXELS, finetune_task, open_base
from maquette.train.generator import GeneratorTask
from maquette.train.geometry import GeometryTask
from maquette.train.midi import midi_task
from maquette.train.segmentation import SegmentationTask
from maquette.train.sequences import DepthEstimator, RowConfig, RowMaker, SequenceSamples
from maquette.train.shapes import ShapeTask
from maquette.train.sources import RandomViews, Sources, ViewSource, scene_config
from maquette.train.stored import StoredViews
from maquette.train.task import Net, Task, of_class
from maquette.train.text_to_image import TextToImageTask, new_text_to_image
from maquette.train.volumes import VolumeTask

# see no volumes: no distance fields are needed
OF_PICTURES = ("image-encoder", "segmenter", "text-to-image")
# Instances of a view in the scene's cube and in their own, where that is not two of each.
ROWS = {"instance": (0, 4), "completion": (0, 4)}
ESTIMATED = 0.6  # share of the views whose surfaces the image encoder sees for the completion
# channels of a new completion at a half, a fourth and an eighth of the lifted grid, by preset
COMPLETION = {
    "tiny": (8, 16, 32),
    "cpu": (32, 96, 192),
    "gpu": (64, 192, 320),
}
TINY_PIXELS = 128  # of the views for the networks of the tests
EMBEDDED_PIXELS = 256  # of those for all others


def network_configs(
    preset: str,
) -> tuple[VolumeVAEConfig, GeometryNetConfig, GeneratorConfig]:
    """Sizes of the three networks: tiny for tests, cpu = embedded, gpu = what an accelerator trains
    in half an hour.
    """
    if preset == "tiny":
        return _tiny_configs()
    geometry = GeometryNetConfig(
        deeper=(0, 1, 3, 2),
        layout_blocks=2,
        latitude=True,
        close=64,
    )
    if preset == "cpu":
        return VolumeVAEConfig(), geometry, GeneratorConfig()
    geometry = replace(geometry, widths=(32, 64, 128, 192), deeper=(1, 2, 4, 3))
    flow = StructureFlowConfig(
        width=320,
        blocks=8,
        heads=5,
        lift_widths=(48, 96),
        scene_context_blocks=4,
    )
    return VolumeVAEConfig(), geometry, GeneratorConfig(flow)


def _tiny_configs() -> tuple[VolumeVAEConfig, GeometryNetConfig, GeneratorConfig]:
    """Networks that the tests train in seconds."""
    vae = VolumeVAEConfig(
        resolution=32,
        latent_channels=8,
        encoder_channels=(8, 16),
        decoder_channels=(16, 16),
    )
    geometry = GeometryNetConfig(
        size=64,
        widths=(8, 16, 32, 32),
        blocks=1,
        heads=2,
        layout_blocks=1,
        close=32,
    )
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
    picture = PictureEncoderConfig(
        size=32,
        width=32,
        widths=(8, 16),
        blocks=1,
    )
    return vae, geometry, GeneratorConfig(flow, picture)


def start_from(net: nn.Module, old: nn.Module) -> None:
    """Copy the weights of an older network that may lack parts which the new one has; a part of
    another size is a CheckpointError.
    """
    known = {name: tensor.shape for name, tensor in net.state_dict().items()}
    state = old.state_dict()
    misfits = [name for name, tensor in state.items() if known.get(name) != tensor.shape]
    if misfits:
        raise CheckpointError(
            f"the weights to start from are of another architecture ({misfits[0]}); leave --init "
            "or --preset out"
        )
    net.load_state_dict(state, strict=False)


def build_task(options: RunOptions) -> Task[Any]:
    """The network, its data and its loss; which network, the options say."""
    if options.network == "volume-vae":
        return _volume_task(options)
    if options.network == "image-encoder":
        return _geometry_task(options)
    if options.network == "segmenter":
        return _segmentation_task(options)
    if options.base is not None:
        return finetune_task(open_base(options.base), _sources(options), options.seed)
    if options.network == "text-to-image":
        prior = _start(options, TextToImage) or new_text_to_image(options.tiny)
        return TextToImageTask(prior, _sources(options), options.seed)
    vae = of_class(_load(options.vae, "volume-vae").model, VolumeVAE)
    if options.network == "shapes":
        shapes = _start(options, PartShapes) or _new_shapes(options, vae)
        return ShapeTask(shapes, vae, *_libraries(options), options.seed)
    if options.network == "coherent":
        return _coherent_task(options, vae)
    if options.network == "midi":
        base = _generator(options.init)
        return midi_task(base, vae, _sources(options), options.midi, options.seed)
    return _generator_task(options, vae)


def _libraries(options: RunOptions) -> tuple[AssetLibrary, AssetLibrary]:
    """The library, and the one that the periodic examination uses: another folder, or the library
    itself (then it shows the fit only). InputError when they lack the fields that a network needs.
    """
    library = AssetLibrary.open(options.library)
    held_out = library if options.held_out is None else AssetLibrary.open(options.held_out)
    if options.network not in OF_PICTURES:
        library.require_fields()
        held_out.require_fields()
    return library, held_out


def _sources(options: RunOptions) -> Sources:
    """The libraries and views of scenes of both."""
    library, held_out = _libraries(options)
    size = PUBLISHED_PIXELS if options.base else EMBEDDED_PIXELS
    views = ViewConfig(size=TINY_PIXELS if options.tiny else size)
    scenes = scene_config(options.scenes)
    source: ViewSource
    if options.views:
        kinds = None if options.scenes == "mixed" else {kind for kind, _ in scenes.mix}
        source = StoredViews.open(options.views, kinds)
    else:
        source = RandomViews(Catalogue.of(library), scenes, views)
    unseen = RandomViews(Catalogue.of(held_out), SceneConfig(), views)
    return Sources(library, held_out, source, unseen)


def _load(path: str | None, kind: str) -> Checkpoint:
    """A file of weights, or the embedded ones of that kind."""
    return load_model(path or embedded_folder() / FILES[kind], kind)


def _start(options: RunOptions, network: type[Net]) -> Net | None:
    """The network of a task as it was trained before; None to begin with a new one."""
    if not options.init:
        return None
    return of_class(load_model(options.init, options.network).model, network)


def _generator(path: str | None) -> Generator:
    """The instance generator of a file, or the embedded one."""
    return of_class(_load(path, "generator").model, Generator)


def base_of(options: RunOptions) -> Checkpoint | None:
    """The checkpoint that a network starts from and is stored as a difference to; None when its
    file is complete.
    """
    return _load(options.init, BASES[options.network]) if options.network in BASES else None


def _volume_task(options: RunOptions) -> VolumeTask:
    """The volume VAE, new or from ``init``."""
    libraries = _libraries(options)
    vae = _start(options, VolumeVAE) or VolumeVAE(network_configs(options.preset)[0])
    return VolumeTask(vae, *libraries, crop=vae.config.resolution // 2, seed=options.seed)


def _geometry_task(options: RunOptions) -> GeometryTask:
    """The image encoder, new or from ``init``, perhaps with a pretrained trunk."""
    sources = _sources(options)
    config = network_configs(options.preset)[1]
    old = _start(options, GeometryNet)
    goes_on = old is not None and old.config.backbone
    net = GeometryNet(replace(config, backbone=goes_on or options.backbone is not None))
    if old is not None:
        start_from(net, old)
    if options.backbone is not None:
        released = load_release(options.backbone)
        present(net.backbone, "backbone").trunk.load_state_dict(released.state_dict())
    return GeometryTask(net, sources, options.seed, options.picture_size)


def _segmentation_task(options: RunOptions) -> SegmentationTask:
    """With a backbone its trunk is kept as released; without one the whole network is trained."""
    sources = _sources(options)
    if isinstance(sources.views, StoredViews):
        sources = replace(sources, views=replace(sources.views, geometry=False))
    config = SegmenterConfig(size=64, widths=(8, 8, 16, 32)) if options.tiny else SegmenterConfig()
    net = _start(options, SegmenterNet) or SegmenterNet(config)
    if options.backbone is not None:
        released = load_release(options.backbone).state_dict()
        kept = net.trunk.state_dict()
        net.trunk.load_state_dict({name: released[name] for name in kept})
        net.trunk.requires_grad_(False)
    return SegmentationTask(net, sources, options.seed, options.picture_size)


def _new_shapes(options: RunOptions, vae: VolumeVAE) -> PartShapes:
    """An autoencoder of parts that fits a volume VAE."""
    sizes = vae.config.latent_resolution, vae.config.latent_channels
    if not options.tiny:
        return PartShapes(PartShapesConfig(*sizes))
    config = PartShapesConfig(
        *sizes,
        parts=4,
        intrinsic=8,
        width=32,
        pair_width=16,
        blocks=1,
        heads=2,
    )
    return PartShapes(config)


def _coherent_task(options: RunOptions, vae: VolumeVAE) -> CoherentTask:
    """The denoisers that fit an encoder and shapes, new or from ``init``."""
    picture = _generator(options.generator).picture
    shapes = of_class(_load(options.shapes, "shapes").model, PartShapes)
    model = _start(options, Coherent) or _new_coherent(options, picture, shapes)
    joint = options.coherent.joint
    return coherent_task(model, picture, shapes, vae, _sources(options), joint, options.seed)


def _new_coherent(options: RunOptions, picture: PictureEncoder, shapes: PartShapes) -> Coherent:
    """Denoisers that fit an encoder and shapes, with the ablations asked for."""
    chosen = options.coherent
    config = CoherentConfig(
        picture.config.width,
        shapes.config.parts,
        shapes.config.intrinsic,
        intra_scene=chosen.intra_scene,
        diffusion=chosen.diffusion,
        yaw=chosen.yaw,
    )
    if options.tiny:
        config = replace(
            config,
            width=32,
            heads=2,
            pose_blocks=2,
            shape_blocks=2,
        )
    return Coherent(config)


def _generator_task(options: RunOptions, vae: VolumeVAE) -> GeneratorTask:
    """The instance generator, its reprogramming into the scene model, or its completion alone."""
    completes = options.network == "completion"
    model = _with_completion(options) if completes else _new_generator(options)
    rows = RowConfig(*ROWS.get(options.network, (2, 2)), options.frame)
    eye = None
    if completes:
        eye = DepthEstimator(embedded_folder() / FILES[PERCEPTION])
        rows = replace(rows, estimated=ESTIMATED)
    judged = replace(rows, augment=False, drop_lift=0.0)
    sources = _sources(options)
    sizes = model.config, vae.config.resolution
    made = RowMaker(sources.library, rows, *sizes, eye)
    examined = RowMaker(sources.held_out, judged, *sizes, eye)
    samples = SequenceSamples(sources.views, made, options.seed)
    unseen = SequenceSamples(sources.unseen, examined, options.seed + 1)
    guess_alone = completes or options.network == "lift"
    return GeneratorTask(model, vae, samples, unseen, lift_only=guess_alone)


def _new_generator(options: RunOptions) -> Generator:
    """One of the preset's sizes, with the weights of ``init`` and its completion, if it has one."""
    start = _generator(options.init) if options.init else None
    config = replace(
        network_configs(options.preset)[2],
        frame=options.frame,
        instances_see=options.instances_see,
    )
    flow = config.flow
    if not options.scene_context:
        flow = replace(flow, scene_context_blocks=0)
    if start is not None:
        flow = replace(flow, completion_widths=start.config.flow.completion_widths)
    model = Generator(replace(config, flow=flow))
    if start is not None:
        model.load_state_dict(start.state_dict())
    return model


def _with_completion(options: RunOptions) -> Generator:
    """A generator of which only the completion learns; a new one when it has none."""
    start = _generator(options.init)
    widths = start.config.flow.completion_widths or COMPLETION[options.preset]
    flow = replace(start.config.flow, completion_widths=widths)
    model = Generator(replace(start.config, flow=flow))
    model.requires_grad_(False)
    present(model.flow.completion, "completion").requires_grad_(True)
    start_from(model, start)
    return model


def data_record(options: RunOptions) -> dict[str, object]:
    """What a weights file says about its data."""
    names = ("scenes", "frame", "scene_context", "instances_see", "network", "preset")
    library = AssetLibrary.open(options.library)
    record: dict[str, object] = {"assets": len(library), "library": Path(options.library).name}
    record |= {name: getattr(options, name) for name in names}
    if options.base is not None:
        return record | {"base": Path(options.base).name}
    needs = _needs(options)
    if needs:
        record["needs"] = {kind: _load(path, kind).sha256 for kind, path in needs.items()}
    if options.network == "midi":
        record["midi"] = asdict(options.midi)
    if options.network == "coherent":
        record["coherent"] = asdict(options.coherent)
    return record


def _needs(options: RunOptions) -> dict[str, str | None]:
    """Kinds and files of the other networks that the result is useless without."""
    if options.network == "coherent":
        return {"generator": options.generator, "shapes": options.shapes}
    behind = ("lift", "completion", "instance", "iscene", "midi", "shapes")
    return {"volume-vae": options.vae} if options.network in behind else {}
