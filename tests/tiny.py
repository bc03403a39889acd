"""Tiny networks that make something: for tests of everything around generation, which care that
there is a scene, not how good it is.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from maquette.checkpoints.embedded import FILES
from maquette.checkpoints.store import load_model, save_model
from maquette.geometry.volumes import cell_centres
from maquette.models.coherent import Coherent, CoherentConfig
from maquette.models.generator import Generator, GeneratorConfig
from maquette.models.image_encoder import GeometryNet, GeometryNetConfig, PictureEncoderConfig
from maquette.models.multi_instance import MultiInstanceConfig, MultiInstanceGenerator
from maquette.models.part_shapes import PartShapes, PartShapesConfig
from maquette.models.structure_flow import StructureFlowConfig
from maquette.models.text_to_image import TextToImage, TextToImageConfig
from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig
from maquette.nn.blocks import space_to_depth

VAE = VolumeVAEConfig(
    resolution=32, latent_channels=8, encoder_channels=(8, 16), decoder_channels=(16, 64)
)
GEOMETRY = GeometryNetConfig(size=64, widths=(8, 16, 32, 32), blocks=1, heads=2)
FLOW = StructureFlowConfig(
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
GENERATOR = GeneratorConfig(FLOW, PictureEncoderConfig(size=32, width=32, widths=(8, 16), blocks=1))
COHERENT = CoherentConfig(
    context_width=32, parts=4, intrinsic=8, width=32, heads=2, pose_blocks=2, shape_blocks=2
)
PAINTER = TextToImageConfig(
    ("a", "red", "object", "on", "left", "right"),
    size=16,
    length=12,
    word_width=16,
    word_blocks=1,
    word_heads=2,
    widths=(16, 16, 16),
    blocks=1,
    heads=2,
    time_width=16,
)
SHAPES = PartShapesConfig(
    resolution=4, channels=8, parts=4, intrinsic=8, width=32, pair_width=16, blocks=1, heads=2
)


def ball(resolution: int) -> torch.Tensor:
    """(4, R, R, R): the signed distance of a ball of radius 0.3, and one colour."""
    distance = (
        cell_centres(resolution).norm(dim=-1).reshape(1, resolution, resolution, resolution) - 0.3
    )
    colour = torch.tensor([0.6, -0.2, -0.6]).reshape(3, 1, 1, 1).expand(3, *distance.shape[1:])
    return torch.cat([distance, colour])


@torch.no_grad()
def smooth_geometry() -> GeometryNet:
    """A network that sees a nearly plane surface in every picture. One with random weights tears
    an object into forty pieces, and joining them takes longer than all the rest.
    """
    network = GeometryNet(GEOMETRY)
    last = network.dense[-1]
    last.weight[:4] *= 0.02  # the four of one coarse pixel's depths; the others are normals
    last.bias[:4] *= 0.02
    return network.eval()


@torch.no_grad()
def ball_vae() -> VolumeVAE:
    """A VAE that decodes every latent to nearly the same ball: its last layer is solved for, and
    the latents hardly count.
    """
    vae = VolumeVAE(VAE)
    vae.latent_std.fill_(0.02)
    norm, activation, last = vae.to_volume
    features = activation(
        norm(vae.decoder(torch.zeros(1, VAE.latent_channels, *(VAE.latent_resolution,) * 3)))
    )
    inputs = features.flatten(2)[0].T  # one row per cell
    wanted = space_to_depth(ball(VAE.resolution)[None], VAE.patch).flatten(2)[0].T
    ones = torch.ones(len(inputs), 1)
    solution = torch.linalg.lstsq(torch.cat([inputs, ones], dim=1), wanted).solution
    last.weight.copy_(solution[:-1].T.reshape(last.weight.shape))
    last.bias.copy_(solution[-1])
    return vae


def tiny_midi(base: Generator) -> MultiInstanceGenerator:
    """The joint generator on a tiny base, as it is before training."""
    midi = MultiInstanceGenerator(MultiInstanceConfig(base.config, joint_blocks=1, tuned_blocks=1))
    midi.base.load_state_dict(base.state_dict())
    return midi


def save_tiny_weights(folder: Path) -> Path:
    """Write all networks under the names of the embedded weights, without disturbing the global
    random state.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for kind, model in (
            ("volume-vae", ball_vae()),
            ("image-encoder", smooth_geometry()),
            ("generator", Generator(GENERATOR)),
        ):
            save_model(folder / FILES[kind], model)
        base = load_model(folder / FILES["generator"])
        save_model(folder / FILES["midi"], tiny_midi(base.model), base=base)
        save_model(folder / FILES["shapes"], PartShapes(SHAPES))
        save_model(folder / FILES["coherent"], Coherent(COHERENT))
        save_model(folder / FILES["text-to-image"], TextToImage(PAINTER))
    return folder


def write_photo(
    folder: Path, name: str = "photo.png", objects: int = 2, seed: int = 0
) -> tuple[Path, Path]:
    """A small picture of coloured discs and its label picture ``<stem>_seg.png``; returns both
    paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    width = 96
    height = 72
    photo = np.full((height, width, 3), 200, np.uint8)
    labels = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width]
    for k in range(objects):
        inside = (x - width * (k + 0.5) / objects) ** 2 + (y - height / 2) ** 2 < (
            0.4 * width / objects
        ) ** 2
        photo[inside] = rng.integers(0, 255, 3)
        labels[inside] = k + 1
    photo = np.clip(photo + rng.normal(0, 3, photo.shape), 0, 255).astype(np.uint8)
    path = folder / name
    masks = folder / f"{Path(name).stem}_seg.png"
    Image.fromarray(photo).save(path)
    Image.fromarray(labels).save(masks)
    return path, masks
