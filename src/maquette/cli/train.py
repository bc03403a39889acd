"""``maquette train``: train or fine-tune one of the networks, resumably."""

from __future__ import annotations

import argparse
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from maquette.declare import add_options, chosen
from maquette.options import SceneOptions
from maquette.options.training import (
    DEFAULTS,
    FINE_TUNING,
    CoherentOptions,
    LoopConfig,
    MidiOptions,
    RunOptions,
)

if TYPE_CHECKING:
    from maquette.train.loop import Run

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
ablations of I-Scene: --no-scene-context, --instances-see own, --frame canonical, --scenes rooms
ablations of the other methods: see the groups below
several GPUs: torchrun --nproc-per-node 4 -m maquette train iscene ... --device cuda
a worker may be lost: torchrun --max-restarts 5 ... goes on from the last checkpoint
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "train",
        help="train or fine-tune a network",
        description="Train one of the networks on random scenes composed from an asset library.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    for options in (RunOptions, LoopConfig, MidiOptions, CoherentOptions):
        add_options(parser, options)
    add_options(parser, SceneOptions, ["device"])
    parser.add_argument(
        "--out",
        required=True,
        metavar="RUN",
        help="run folder: checkpoints, log.csv, loss.png, pictures",
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads for the network",
    )
    parser.set_defaults(
        run=run,
        resume=False,
        device="auto",
        threads=None,
    )


def run(args: argparse.Namespace) -> int:
    """Train."""
    import torch

    from maquette.errors import InputError
    from maquette.hardware import choose_device
    from maquette.models.scene_context_flow import SceneContextFlow
    from maquette.nn.layers import of_kind
    from maquette.train.finetune import FinetuneTask, write_release
    from maquette.train.loop import Run
    from maquette.train.ranks import Ranks
    from maquette.train.runs import base_of, build_task, data_record

    if args.threads:
        torch.set_num_threads(args.threads)
    started = (Path(args.out) / "checkpoint.pt").exists()
    resume = args.resume or (started and Ranks.of_environment().restarts > 0)
    if started and not resume:
        raise InputError(
            f"{args.out} already holds a run; pass --resume to continue it or choose another folder"
        )
    options, config = asked(args)
    torch.manual_seed(config.seed)
    task = build_task(options)
    device = str(choose_device(args.device))
    training = Run(task, args.out, config, device, data_record(options), base_of(options))
    if resume:
        training.resume()
    main = training.ranks.rank == 0
    log = partial(print, flush=True) if main else _say_nothing
    log(f"{options.network}: {_size(training)} -> {args.out}")
    # who ends a job (torchrun, Slurm, Kubernetes) tells it before: save, as on Ctrl-C
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        training.train(log)
    except KeyboardInterrupt:
        step = training.progress.step
        print(f"stopped at step {step}; continue with --resume", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    minutes = training.progress.seconds / 60
    done = f"done: {training.progress.step} steps, {minutes:.1f} minutes"
    log(f"{done}; weights in {args.out}/weights.safetensors")
    if isinstance(task, FinetuneTask) and main:
        released = write_release(args.out, of_kind(training.average, SceneContextFlow), task.base)
        log(f"and in the layout of the release in {released}")
    return 0


def asked(args: argparse.Namespace) -> tuple[RunOptions, LoopConfig]:
    """What was said; the rest as the network needs it."""
    options = chosen(
        RunOptions,
        args,
        midi=chosen(MidiOptions, args),
        coherent=chosen(CoherentOptions, args),
        seed=getattr(args, "seed", 0),
    )
    defaults = FINE_TUNING if options.base else DEFAULTS[options.network]
    return options, chosen(LoopConfig, argparse.Namespace(**(defaults | vars(args))))


def _say_nothing(line: str) -> None:
    """What the processes besides the first one have to say."""


def _size(training: Run) -> str:
    """How much is trained where, at which precision."""
    trained = (p.numel() for p in training.model.parameters() if p.requires_grad)
    precision = "bf16" if training.bf16 else "fp32"
    size = f"{sum(trained) / 1e6:.2f} M parameters"
    return f"{size}, {training.device}, {precision}, batch {training.config.batch}"
