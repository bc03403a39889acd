"""Options of ``maquette train``, declared once: what is trained on what, how long and how fast, and
the switches of the ablations.

Read by the command line and by ``maquette.train``, which does what they say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from maquette.declare import check_bounds, option
from maquette.errors import InputError

# Of each network: samples per step, learning rate, and the optimizer where another was measured
# to be better (docs/log.md).
DEFAULTS: dict[str, dict[str, Any]] = {
    "volume-vae": {"batch": 16, "learning_rate": 1e-3},
    "image-encoder": {
        "batch": 16,
        "learning_rate": 1e-3,
        "optimizer": "muon",
    },
    "segmenter": {
        "batch": 16,
        "learning_rate": 2e-3,
        "optimizer": "muon",
    },
    "lift": {"batch": 4, "learning_rate": 1e-3},
    "completion": {
        "batch": 4,
        "learning_rate": 1e-3,
        "optimizer": "muon",
    },
    "instance": {"batch": 6, "learning_rate": 6e-4},
    "iscene": {"batch": 5, "learning_rate": 4e-4},
    "midi": {"batch": 4, "learning_rate": 2e-4},
    "shapes": {"batch": 8, "learning_rate": 1e-3},
    "coherent": {"batch": 8, "learning_rate": 5e-4},
    "text-to-image": {"batch": 4, "learning_rate": 1e-3},
}
FINE_TUNING: dict[str, Any] = {"batch": 8, "learning_rate": 5e-5}  # with --base: the paper's
NETWORKS = tuple(DEFAULTS)
OF_BACKBONE = ("image-encoder", "segmenter")  # look through EfficientNet-Lite0
OPTIMIZERS = ("muon", "adamw")
LOGS = ("csv", "tensorboard")
PATCH = 16  # pixels; the side of a picture is a multiple of it
_MIDI = "midi, with its ablations"
_COHERENT = "coherent, with its ablations"


@dataclass(frozen=True)
class MidiOptions:
    """The switches of MIDI's ablations."""

    joint_blocks: int | None = option(
        None,
        kind=int,
        least=0,
        metavar="K",
        group=_MIDI,
        help="blocks in the middle with multi-instance attention (default: half; 0 = none)",
    )
    scene_image: bool = option(
        True,
        flags=("--no-scene-image",),
        group=_MIDI,
        help="without the picture of the whole scene",
    )
    single_objects: float = option(
        0.3,
        least=0,
        most=1,
        metavar="SHARE",
        group=_MIDI,
        help="share of single objects among the samples (default 0.3; 0 = none)",
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class CoherentOptions:
    """The switches of the ablations of Coherent."""

    diffusion: bool = option(
        True,
        flags=("--no-diffusion",),
        group=_COHERENT,
        help="regress poses and shapes in one step",
    )
    intra_scene: bool = option(
        True,
        flags=("--no-intra-scene",),
        group=_COHERENT,
        help="objects do not see each other",
    )
    joint: bool = option(
        True,
        flags=("--no-joint",),
        group=_COHERENT,
        help="poses and shapes at noise of their own, without the alignment loss",
    )
    yaw: bool = option(
        True,
        flags=("--no-yaw",),
        group=_COHERENT,
        help="shapes in the view's axes instead of their own with a yaw",
    )


@dataclass(frozen=True)
class RunOptions:
    """What to train, on what, with which switches (the ablations of I-Scene are switches)."""

    network: str = option(
        kind=str,
        flags=("network",),
        choices=NETWORKS,
        help="what to train; lift = only the generator's first guess, a cheap start for instance "
        "and iscene; completion = the network that makes this guess better, all else as it is",
    )
    library: str = option(
        kind=str,
        flags=("--data",),
        metavar="LIBRARY",
        help="asset library (see: maquette data import)",
    )
    held_out: str | None = option(
        None,
        kind=str,
        metavar="LIBRARY",
        help="library for the examination (default: the same assets in unseen scenes)",
    )
    preset: str = option(
        "cpu",
        choices=("tiny", "cpu", "gpu"),
        help="size of the networks: for tests, embedded (default), for an accelerator",
    )
    scenes: str = option(
        "mixed",
        choices=("mixed", "random", "rooms"),
        help="training scenes (default: mixed; rooms: ablation)",
    )
    scene_context: bool = option(
        True,
        flags=("--no-scene-context",),
        help="ablation without scene-context attention",
    )
    instances_see: str = option(
        "all",
        choices=("all", "own"),
        help="visible surfaces that an instance is shown; own: only the scene branch sees those of "
        "others (ablation)",
    )
    frame: str = option(
        "view-centric", choices=("view-centric", "canonical"), help="canonical: ablation"
    )
    vae: str | None = option(
        None,
        kind=str,
        metavar="FILE",
        help="weights of the volume VAE (default: embedded)",
    )
    init: str | None = option(
        None,
        kind=str,
        metavar="FILE",
        help="weights to start from; for iscene the instance generator",
    )
    views: str | None = option(
        None,
        kind=str,
        flags=("--views", "--stream"),
        metavar="SHARDS",
        help="rendered views of the library (maquette data build), in a folder or at a URL, from "
        "which they are read as they are needed; default: render while training",
    )
    backbone: str | None = option(
        None,
        kind=str,
        metavar="FILE",
        help="image-encoder: look through EfficientNet-Lite0 as well, from its PyTorch release; "
        "segmenter: begin with its trunk, and keep that as it is",
    )
    picture_size: int | None = option(
        None,
        kind=int,
        least=PATCH,
        flags=("--picture",),
        metavar="PX",
        help="side of the image encoder's pictures, 16 k (default: its own); early training is "
        "several times cheaper below it",
    )
    generator: str | None = option(
        None,
        kind=str,
        metavar="FILE",
        help="coherent: generator whose encoder it looks through (default: embedded)",
    )
    shapes: str | None = option(
        None,
        kind=str,
        metavar="FILE",
        help="coherent: weights of its shapes (default: embedded)",
    )
    base: str | None = option(
        None,
        kind=str,
        metavar="FOLDER",
        help="iscene: fine-tune published weights (the folder of `maquette models fetch`)",
    )
    midi: MidiOptions = field(default_factory=MidiOptions)
    coherent: CoherentOptions = field(default_factory=CoherentOptions)
    seed: int = 0  # that of LoopConfig

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.base is not None and (self.network != "iscene" or self.init is not None):
            raise InputError(
                "published weights (--base) are for `iscene` and exclude --init; leave one of "
                "them out"
            )
        if self.backbone is not None and self.network not in OF_BACKBONE:
            raise InputError(
                "a backbone (--backbone) is for the image-encoder and the segmenter, not for "
                f"{self.network}"
            )
        if self.picture_size is not None and self.picture_size % PATCH:
            raise InputError(
                f"the side of the pictures is {self.picture_size}; expected a multiple of {PATCH}"
            )

    @property
    def tiny(self) -> bool:
        """Whether the networks are those of the tests."""
        return self.preset == "tiny"


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast."""

    steps: int | None = option(
        None,
        kind=int,
        least=1,
        metavar="N",
        help="number of steps in all, instead of minutes",
    )
    minutes: float | None = option(
        None,
        kind=float,
        metavar="M",
        help="training time in all, over resumed runs; the learning rate ends with it",
    )
    slice_minutes: float | None = option(
        None,
        kind=float,
        least=0,
        flags=("--slice",),
        metavar="M",
        help="stop after M minutes of this call, to be resumed",
    )
    batch: int = option(
        8,
        least=1,
        metavar="N",
        help="samples per step (views, for the generator)",
    )
    learning_rate: float = option(4e-4, metavar="R", help="at its highest, after the warm-up")
    optimizer: str = option(
        "adamw", choices=OPTIMIZERS, help="default: muon for the image encoder, else adamw"
    )
    weight_decay: float = 0.01
    warmup: int = 100  # steps
    decay: float = 0.3  # the last part of the run, in which the rate falls linearly to zero
    clip: float = 1.0  # of the norm of all gradients
    ema: float = 0.998  # of the weights that are kept, per step
    seed: int = option(0, metavar="S", help="of weights, samples and scenes (default 0)")
    workers: int | None = option(
        None,
        kind=int,
        least=0,
        metavar="N",
        help="processes that prepare data (default: 1 beside a processor, the other cores beside "
        "an accelerator)",
    )
    precision: str = option(
        "auto",
        choices=("auto", "fp32", "bf16"),
        help="auto (default): bf16 where the hardware multiplies it natively, else fp32",
    )
    log_every: int = 20  # steps
    save_minutes: float = 5.0
    examine_minutes: float = 15.0
    compile: bool = option(False, help="torch.compile the blocks of the network")
    log: str = option(
        "csv",
        choices=LOGS,
        help="tensorboard: curves and pictures for it, too, in RUN/tensorboard "
        "(pip install 'maquette[tensorboard]'; default: log.csv alone)",
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        if (self.steps is None) == (self.minutes is None):
            raise InputError(
                f"training needs either steps or minutes, got steps={self.steps} and "
                f"minutes={self.minutes}; pass one of them"
            )
        for name in ("minutes", "learning_rate"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"{name} must be more than 0, got {value}")
