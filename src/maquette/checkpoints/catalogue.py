"""The published models that maquette runs, as data: what each is, its licence, where it lies, and
how to know that it arrived whole.

Nothing is imported or fetched here. Commits, sizes and sha256 were recorded by others from the
hub's own pages; where nobody has recorded them they are None: then the first fetch records what it
finds and says so (trust on first use).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maquette.errors import InputError


@dataclass(frozen=True)
class ReleasedFile:
    """One file of a repository."""

    path: str  # within the repository
    size: int | None = None  # bytes, exact
    sha256: str | None = None
    about: int = 0  # bytes, roughly, where the exact size is unknown

    @property
    def bytes(self) -> int:
        """Size, exact or rough."""
        return self.about if self.size is None else self.size


@dataclass(frozen=True)
class HubRepository:
    """A repository of the Hugging Face hub, or the part of it that is used."""

    repository: str
    revision: str | None  # commit; None = pinned at the first fetch
    files: tuple[ReleasedFile, ...]

    @property
    def folder(self) -> str:
        """Name of the folder that holds it below a folder of weights."""
        return self.repository.rpartition("/")[2]

    @property
    def marker(self) -> str:
        """A file by which its folder is known."""
        return self.files[0].path


@dataclass(frozen=True)
class Release:
    """A model that can be listed, fetched and run."""

    name: str  # on the command line
    title: str
    what: str  # one sentence
    scene: bool  # True = places several objects; False = one object at a time
    licence: str
    limits: str  # what the licence, or what the model was trained on, does not allow or leaves open
    paper: str
    sources: tuple[HubRepository, ...]
    parameters: float  # millions, of what generate runs
    needs: str  # what must be given besides a photo and masks
    # GB on a graphics card for five objects: with everything loaded, and with the most careful plan
    memory: tuple[float, float]

    @property
    def bytes(self) -> int:
        """Size of the download, rough where sizes are unknown."""
        return sum(file.bytes for source in self.sources for file in source.files)

    @property
    def exact(self) -> bool:
        """Whether every large file's size and sha256 are known beforehand."""
        large = [file for source in self.sources for file in source.files if file.bytes > 2**20]
        return all(file.size is not None and file.sha256 is not None for file in large)


def _pair(name: str, size: int, sha256: str | None = None) -> tuple[ReleasedFile, ReleasedFile]:
    weights = ReleasedFile(f"ckpts/{name}.safetensors", size, sha256)
    return ReleasedFile(f"ckpts/{name}.json", about=700), weights


def _trellis(*names: str) -> HubRepository:
    known = {
        "ss_flow_img_dit_L_16l8_fp16": (
            1_130_770_840,
            "96dc6bfd4136fd950af564dd16b4ae533c9ba6af8f26c670646b2a9f2789b1db",
        ),
        "ss_dec_conv3d_16l8_fp16": (
            147_591_972,
            "1c76d4a40519aa2d711cc263a8404105231ac26db31d946bed48b84fee79009a",
        ),
        "slat_flow_img_dit_L_64l8p2_fp16": (
            1_203_755_136,
            "693fb2a58ad497bd222007301eeec49d14d60f8c12d2f2f00c221fa747b4c66c",
        ),
        "slat_dec_mesh_swin8_B_64l8m256c_fp16": (
            181_903_412,
            "3e87aba94b5786407eb06d0502c1ed0885a0027a3f2b8537bfe15b0a92c01859",
        ),
    }
    files = [ReleasedFile("pipeline.json", about=2_000)]
    for name in names:
        files += _pair(name, *known[name])
    return HubRepository(
        "microsoft/TRELLIS-image-large", "25e0d31ffbebe4b5a97464dd851910efc3002d96", tuple(files)
    )


def _component(
    folder: str,
    stem: str,
    size: int | None,
    sha256: str | None = None,
    about: int = 0,
) -> tuple[ReleasedFile, ...]:
    config = ReleasedFile(f"{folder}/config.json", about=1_000)
    return config, ReleasedFile(f"{folder}/{stem}.safetensors", size, sha256, about)


_DINOV2 = HubRepository(  # the weights of the hub's dinov2_vitl14_reg, as safetensors
    "facebook/dinov2-with-registers-large",
    "e4c89a4e05589de9b3e188688a303d0f3c04d0f3",
    (
        ReleasedFile("config.json", about=800),
        ReleasedFile("model.safetensors", about=1_217_600_000),
    ),
)

_ISCENE = HubRepository(  # the commit "Upload folder", which has all files of IScene-v1
    "LuLing/IScene",
    "04794eb0f811b27072e32df50a4327c72708f7a0",
    (
        ReleasedFile("iscene_config.json", about=300),
        ReleasedFile("config.yml", about=900),
        ReleasedFile("ckpts/iscene_denoiser.pt", about=1_131_000_000),
        ReleasedFile("ckpts/iscene_image_conditioner.pt", about=1_217_600_000),
    ),
)

# its files came with the commit that begins with 194c4af; nobody has written down the whole name of
# one
_MIDI = HubRepository(
    "VAST-AI/MIDI-3D",
    None,
    (
        ReleasedFile("model_index.json", about=800),
        ReleasedFile("scheduler/scheduler_config.json", about=300),
        ReleasedFile("feature_extractor_1/preprocessor_config.json", about=600),
        ReleasedFile("feature_extractor_2/preprocessor_config.json", about=600),
        *_component("image_encoder_1", "model", None, about=608_000_000),
        *_component("image_encoder_2", "model", None, about=610_000_000),
        *_component(
            "vae",
            "diffusion_pytorch_model",
            None,
            about=485_400_000,
            sha256="826352fb8e5dd13d190cbb679c790f6caf7ed4048c949c00e326cb203e30e56d",
        ),
        *_component("transformer", "diffusion_pytorch_model", None, about=3_363_900_000),
    ),
)

_TRIPOSG = HubRepository(
    "VAST-AI/TripoSG",
    "2c1c516d22d58db486a058d98d31bb6177344e06",
    (
        ReleasedFile("model_index.json", about=800),
        ReleasedFile("scheduler/scheduler_config.json", about=300),
        ReleasedFile("feature_extractor_dinov2/preprocessor_config.json", about=600),
        *_component(
            "image_encoder_dinov2",
            "model",
            1_217_522_888,
            "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
        ),
        *_component(
            "vae",
            "diffusion_pytorch_model",
            970_685_468,
            "a2e667c24927a5a35e5f19fcb4c75890e9399aa966b6db8131d7df733a750c8b",
        ),
        *_component(
            "transformer",
            "diffusion_pytorch_model",
            5_758_280_104,
            "9192b5923f7b605b394192809aa2ceb73bf0f4009674d8e3b999b45bb97d4bf2",
        ),
    ),
)

_FRONT = (
    "its training scenes come from 3D-FRONT and 3D-FUTURE, whose terms are academic: settle "
    "that before commercial use"
)

RELEASES: tuple[Release, ...] = (
    Release(
        "trellis-iscene",
        "I-Scene on TRELLIS",
        "A scene from one photo: TRELLIS reprogrammed by scene-context attention, every object "
        "in one common space.",
        True,
        "MIT (I-Scene, TRELLIS), Apache-2.0 (DINOv2)",
        _FRONT,
        "arXiv 2512.13683",
        (
            _ISCENE,
            _trellis(
                "ss_dec_conv3d_16l8_fp16",
                "slat_flow_img_dit_L_64l8p2_fp16",
                "slat_dec_mesh_swin8_B_64l8m256c_fp16",
            ),
        ),
        1629.1,
        "masks",
        (5.6, 2.8),
    ),
    Release(
        "midi-3d",
        "MIDI-3D",
        "A scene from one photo: all objects are denoised at once and attend to each other. "
        "Meshes have no colour of their own.",
        True,
        "Apache-2.0 (MIDI), MIT (TripoSG, CLIP), Apache-2.0 (DINOv2)",
        _FRONT,
        "arXiv 2412.03558",
        (_MIDI,),
        2533.8,
        "masks",
        (6.7, 4.2),
    ),
    Release(
        "trellis-large",
        "TRELLIS image-large",
        "One object from one photo, with colours.",
        False,
        "MIT (TRELLIS), Apache-2.0 (DINOv2)",
        "none beyond naming the authors",
        "arXiv 2412.01506",
        (
            _trellis(
                "ss_flow_img_dit_L_16l8_fp16",
                "ss_dec_conv3d_16l8_fp16",
                "slat_flow_img_dit_L_64l8p2_fp16",
                "slat_dec_mesh_swin8_B_64l8m256c_fp16",
            ),
            _DINOV2,
        ),
        1629.1,
        "one mask per object; each object is made alone",
        (5.6, 2.8),
    ),
    Release(
        "triposg",
        "TripoSG",
        "One object from one photo, shape only. Its transformer and vector-set VAE are what "
        "MIDI-3D builds on.",
        False,
        "MIT (TripoSG), Apache-2.0 (DINOv2)",
        "none beyond naming the authors",
        "arXiv 2502.06608",
        (_TRIPOSG,),
        1986.6,
        "one mask per object; each object is made alone",
        (5.7, 2.9),
    ),
)


@dataclass(frozen=True)
class HubModel:
    """A network of others that looks at photos: for depth and camera, or for masks."""

    name: str  # on the command line
    repository: str
    licence: str
    about: int  # bytes, roughly
    what: str
    marker: str = "config.json"  # a file that it has

    @property
    def gives(self) -> str:
        """``depth``, ``masks`` or ``boxes``."""
        return self.what.partition(" ")[0]

    @property
    def offer(self) -> str:
        """What is said before it is fetched."""
        size = f"about {self.about / 1e6:.0f} MB"
        return f"{self.repository} ({self.what}; {size}, licence: {self.licence})"


HUB_MODELS: tuple[HubModel, ...] = (
    HubModel(
        "moge-2-vits",
        "Ruicheng/moge-2-vits-normal",
        "MIT, Apache-2.0 (DINOv2)",
        141_000_000,
        "depth in metres and focal length",
        "model.safetensors",
    ),
    HubModel(
        "moge-2-vitl",
        "Ruicheng/moge-2-vitl",
        "MIT, Apache-2.0 (DINOv2)",
        1_310_000_000,
        "depth in metres and focal length",
        "model.safetensors",
    ),
    HubModel(
        "moge-3-vitl",
        "Ruicheng/moge-3-vitl",
        "MIT, Apache-2.0 (DINOv2)",
        1_380_000_000,
        "depth in metres and focal length",
        "model.safetensors",
    ),
    HubModel(
        "depth-pro",
        "apple/DepthPro-hf",
        "apple-amlr, for research only",
        1_904_000_000,
        "depth in metres and focal length",
    ),
    HubModel(
        "depth-anything-v2",
        "depth-anything/Depth-Anything-V2-Small-hf",
        "Apache-2.0",
        99_000_000,
        "depth without scale",
    ),
    HubModel(
        "zoedepth",
        "Intel/zoedepth-nyu-kitti",
        "MIT",
        1_380_000_000,
        "depth in metres",
    ),
    HubModel(
        "sam2.1",
        "facebook/sam2.1-hiera-tiny",
        "Apache-2.0",
        156_000_000,
        "masks by clicks and boxes, and of everything",
    ),
    HubModel(
        "grounding-dino",
        "IDEA-Research/grounding-dino-tiny",
        "Apache-2.0",
        690_000_000,
        "boxes by words",
    ),
    HubModel(
        "mask2former",
        "facebook/mask2former-swin-small-coco-instance",
        "MIT",
        276_000_000,
        "masks of everything of 80 kinds, with names",
    ),
)


# what needs no model of others, by what it gives
BUILT_IN = {
    "depth": ("embedded",),
    "masks": ("embedded", "colour"),
}


def hub_model(name: str, gives: str | None = None) -> HubModel:
    """A model by its short name, or any repository OWNER/NAME. InputError lists the names; with
    ``gives`` only those of models that give depth, masks or boxes.
    """
    fitting = [found for found in HUB_MODELS if gives in (None, found.gives)]
    for found in fitting:
        if name in (found.name, found.repository):
            return found
    if name.count("/") == 1 and all(name.split("/")):
        return HubModel(name, name, "see its page", 0, "not in the list of maquette")
    names = [*BUILT_IN.get(gives or "", ()), *(found.name for found in fitting)]
    what = f" that gives {gives}" if gives else ""
    raise InputError(
        f"unknown model {name!r}; give one{what}: {', '.join(names)}, a repository OWNER/NAME, "
        "or a folder"
    )


def hub_folder(
    name: str,
    root: Path | None = None,
    gives: str | None = None,
) -> Path:
    """The folder of a model of others: ``name`` itself when it is one, else where it was fetched.
    InputError with size, licence and the command when it is not here; ``gives`` as in hub_model.
    """
    if Path(name).is_dir():
        return Path(name)
    wanted = hub_model(name, gives)
    folder = (root or default_root()) / wanted.repository.rpartition("/")[2]
    if not (folder / wanted.marker).is_file():
        raise InputError(
            f"{name} is not on this machine: {wanted.offer}; "
            f"bring it with `maquette models fetch {name}`, or give its folder"
        )
    return folder


def release(name: str) -> Release:
    """The release of this name; InputError lists the names there are."""
    for found in RELEASES:
        if found.name == name:
            return found
    raise InputError(f"unknown model {name!r}; choose from {', '.join(r.name for r in RELEASES)}")


def default_root() -> Path:
    """Where releases are kept unless said otherwise."""
    return Path.home() / ".cache" / "maquette"


def source_folder(source: HubRepository, root: Path) -> Path:
    """The folder of a source below a folder of weights; ``root`` itself when it is that
    repository's folder.
    """
    below = root / source.folder
    return root if not below.exists() and (root / source.marker).is_file() else below


def is_here(release: Release, root: Path) -> bool:
    """Whether every repository of a release has its folder below a folder of weights."""
    return all(
        (source_folder(source, root) / source.marker).is_file() for source in release.sources
    )
