"""``maquette train``: train or fine-tune one of the networks, resumably."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from _typeshed import DataclassInstance

    from maquette.train.loop import Run

T = TypeVar("T", bound="DataclassInstance")
EPILOG = """examples:
  maquette data import MESHES/ --out library
  maquette train volume-vae    --data library --out runs/vae      --minutes 20
  maquette train image-encoder --data library --out runs/encoder  --minutes 60
  maquette train instance      --data library --out runs/instance --minutes 30 \\
                               --vae runs/vae/weights.safetensors
  maquette train iscene        --data library --out runs/iscene   --minutes 60 \\
                               --vae runs/vae/weights.safetensors \\
                               --init runs/instance/weights.safetensors
  maquette train midi          --data library --out runs/midi     --minutes 40 \\
                               --vae runs/vae/weights.safetensors \\
                               --init runs/iscene/weights.safetensors
  maquette train shapes        --data library --out runs/shapes   --minutes 30 \\
                               --vae runs/vae/weights.safetensors
  maquette train coherent      --data library --out runs/coherent --minutes 60 \\
                               --vae runs/vae/weights.safetensors \\
                               --generator runs/iscene/weights.safetensors \\
                               --shapes runs/shapes/weights.safetensors
  maquette train text-to-image --data library --out runs/words    --minutes 90
  maquette train iscene        --data library --out runs/large    --steps 40000 \\
                               --base ~/.cache/maquette --device cuda
ablations of I-Scene: --no-scene-context, --frame canonical, --scenes rooms
ablations of the other methods: see the groups below
several GPUs: torchrun --nproc-per-node 4 -m maquette train iscene ... --device cuda
"""


# Samples per step, learning rate, optimizer: muon where it was measured to be better (docs/log.md).
DEFAULTS: dict[str, dict[str, Any]] = {
    "volume-vae": {"batch": 16, "learning_rate": 1e-3},
    "image-encoder": {"batch": 16, "learning_rate": 1e-3, "optimizer": "muon"},
    "segmenter": {"batch": 16, "learning_rate": 1e-3, "optimizer": "muon"},
    "lift": {"batch": 4, "learning_rate": 1e-3},
    "instance": {"batch": 6, "learning_rate": 6e-4},
    "iscene": {"batch": 5, "learning_rate": 4e-4},
    "midi": {"batch": 4, "learning_rate": 2e-4},
    "shapes": {"batch": 8, "learning_rate": 1e-3},
    "coherent": {"batch": 8, "learning_rate": 5e-4},
    "text-to-image": {"batch": 4, "learning_rate": 1e-3},
}
FINE_TUNING: dict[str, Any] = {
    "batch": 8,
    "learning_rate": 5e-5,
}  # the same with --base: the paper's


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command. Options are named as the fields that they fill (``run``), which say
    their defaults.
    """
    parser = subparsers.add_parser(
        "train",
        help="train or fine-tune a network",
        description="Train one of the networks on random scenes composed from an asset library.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "network",
        choices=tuple(DEFAULTS),
        help="what to train; lift = only the generator's first guess, a cheap start for the next "
        "two",
    )
    _add_data_options(parser)
    _add_loop_options(parser)
    _add_network_options(parser)
    _add_midi_options(parser.add_argument_group("midi, with its ablations"))
    _add_coherent_options(parser.add_argument_group("coherent, with its ablations"))
    parser.set_defaults(run=run, resume=False, device="auto")


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        dest="library",
        required=True,
        metavar="LIBRARY",
        help="asset library (see: maquette data import)",
    )
    parser.add_argument(
        "--held-out",
        metavar="LIBRARY",
        help="library for the examination (default: the same assets in unseen scenes)",
    )
    parser.add_argument(
        "--views",
        metavar="SHARDS",
        help="rendered views (maquette data build); default: render while training",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="RUN",
        help="run folder: checkpoints, log.csv, loss.png, pictures",
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")


def _add_loop_options(parser: argparse.ArgumentParser) -> None:
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="training time in all; the learning rate ends with it",
    )
    length.add_argument("--steps", type=int, metavar="N", help="number of steps in all")
    parser.add_argument(
        "--slice",
        dest="slice_minutes",
        type=float,
        metavar="M",
        help="stop after M minutes of this call, to be resumed",
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="samples per step (views, for the generator)",
    )
    parser.add_argument("--learning-rate", type=float, metavar="R")
    parser.add_argument(
        "--optimizer",
        choices=("muon", "adamw"),
        help="default: muon for the image encoder and the segmenter, else adamw",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that prepare data (default: 1 beside a processor, the other cores beside "
        "an accelerator)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads for the network")
    parser.add_argument("--device", metavar="D", help="auto (default), cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"))
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile the blocks of the network"
    )
    parser.add_argument("--seed", type=int)


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset",
        choices=("tiny", "cpu", "gpu"),
        help="size of the networks (default: cpu = embedded)",
    )
    parser.add_argument(
        "--picture",
        dest="picture_size",
        type=int,
        metavar="PX",
        help="side of the image encoder's pictures, 16 k (default: its own)",
    )
    parser.add_argument(
        "--vae", metavar="FILE", help="weights of the volume VAE (default: embedded)"
    )
    parser.add_argument("--init", metavar="FILE", help="weights to start from")
    parser.add_argument(
        "--backbone",
        metavar="FILE",
        help="image-encoder: look through EfficientNet-Lite0 as well, from its PyTorch release; "
        "segmenter: begin with its trunk, and keep that as it is",
    )
    parser.add_argument(
        "--base",
        metavar="FOLDER",
        help="iscene: fine-tune published weights (the folder of `maquette models fetch`)",
    )
    parser.add_argument(
        "--generator",
        metavar="FILE",
        help="coherent: generator whose encoder it looks through (default: embedded)",
    )
    parser.add_argument(
        "--shapes",
        metavar="FILE",
        help="coherent: weights of its shapes (default: embedded)",
    )
    parser.add_argument(
        "--scenes",
        choices=("mixed", "random", "rooms"),
        help="training scenes (rooms: ablation)",
    )
    parser.add_argument(
        "--frame", choices=("view-centric", "canonical"), help="canonical: ablation"
    )
    parser.add_argument(
        "--no-scene-context",
        dest="scene_context",
        action="store_false",
        help="ablation without scene-context attention",
    )


def _add_midi_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--joint-blocks",
        type=int,
        metavar="K",
        help="blocks with multi-instance attention (default: half; 0 = none)",
    )
    group.add_argument(
        "--no-scene-image",
        dest="scene_image",
        action="store_false",
        help="without the picture of the whole scene",
    )
    group.add_argument(
        "--single-objects",
        type=float,
        metavar="SHARE",
        help="share of single objects (default 0.3; 0 = none)",
    )


def _add_coherent_options(group: argparse._ArgumentGroup) -> None:
    switches = {
        "diffusion": "regress poses and shapes in one step",
        "intra-scene": "objects do not see each other",
        "joint": "poses and shapes apart, without the alignment loss",
        "yaw": "shapes in the view's axes instead of their own with a yaw",
    }
    for name, text in switches.items():
        group.add_argument(
            f"--no-{name}", dest=name.replace("-", "_"), action="store_false", help=text
        )


def run(args: argparse.Namespace) -> int:
    """Train."""
    import torch

    from maquette.errors import InputError
    from maquette.models.scene_context_flow import SceneContextFlow
    from maquette.nn.layers import of_kind
    from maquette.train.coherent import CoherentOptions
    from maquette.train.finetune import FinetuneTask, write_release
    from maquette.train.loop import LoopConfig, Run
    from maquette.train.midi import MidiOptions
    from maquette.train.runs import RunOptions, base_of, build_task, data_record

    given = vars(args)
    if given.get("threads"):
        torch.set_num_threads(args.threads)
    if not args.resume and (Path(args.out) / "checkpoint.pt").exists():
        raise InputError(
            f"{args.out} already holds a run; pass --resume to continue it or choose another folder"
        )
    options = filled(
        RunOptions,
        given,
        midi=filled(MidiOptions, given),
        coherent=filled(CoherentOptions, given),
    )
    defaults: dict[str, Any] = FINE_TUNING if options.base else DEFAULTS[options.network]
    config = filled(LoopConfig, defaults | given)
    torch.manual_seed(config.seed)
    task = build_task(options)
    device = str(chosen_device(args.device))
    training = Run(task, args.out, config, device, data_record(options), base_of(options))
    if args.resume:
        training.resume()
    main = training.ranks.rank == 0
    log = partial(print, flush=True) if main else _say_nothing
    log(f"{options.network}: {_size(training)} -> {args.out}")
    try:
        training.train(log)
    except KeyboardInterrupt:
        step = training.progress.step
        print(f"stopped at step {step}; continue with --resume", file=sys.stderr)
        return 130
    minutes = training.progress.seconds / 60
    done = f"done: {training.progress.step} steps, {minutes:.1f} minutes"
    log(f"{done}; weights in {args.out}/weights.safetensors")
    if isinstance(task, FinetuneTask) and main:
        trained = of_kind(training.average, SceneContextFlow)
        released = write_release(args.out, trained, task.base)
        log(f"and in the layout of the release in {released}")
    return 0


def _say_nothing(line: str) -> None:
    """What the processes besides the first one have to say."""


def _size(training: Run) -> str:
    """How much is trained where, at which precision."""
    trained = (p.numel() for p in training.model.parameters() if p.requires_grad)
    precision = "bf16" if training.bf16 else "fp32"
    size = f"{sum(trained) / 1e6:.2f} M parameters"
    return f"{size}, {training.device}, {precision}, batch {training.config.batch}"


def filled(kind: type[T], given: dict[str, Any], **more: Any) -> T:
    """A dataclass with those of its fields that were given; the others keep their defaults."""
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in given.items() if name in names}, **more)


def chosen_device(name: str) -> torch.device:
    """``cuda:1`` is the second card; InputError when a device is asked for that is not there."""
    import torch

    from maquette.errors import InputError
    from maquette.pipeline import choose_device

    kind, _, number = name.partition(":")
    device = choose_device(kind)
    if not number:
        return device
    cards = torch.cuda.device_count() if device.type == "cuda" else 0
    if not number.isdecimal() or int(number) >= cards:
        raise InputError(f"--device {name} is not there; this machine has {cards} CUDA devices")
    return torch.device(device.type, int(number))
