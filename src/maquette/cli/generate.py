"""``maquette generate``: photos and masks -> folders with scenes. Arguments in, words and exit
codes out; the work is in ``batch``.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from maquette.cli.text import aligned, bar_of, counted, refuse_file_name, sizes_in, stage_bar
from maquette.cli.view import view_file
from maquette.declare import add_options, chosen, values_of
from maquette.options import (
    EMBEDDED,
    FileSpace,
    GeometryOptions,
    ScaleOptions,
    SceneOptions,
    Surroundings,
)
from maquette.options.execution import ExecutionOptions
from maquette.types import WRITING, making_seconds

if TYPE_CHECKING:
    from tqdm import tqdm

    from maquette.batch.finished import Outcome, Wanted
    from maquette.batch.pairs import Job
    from maquette.batch.run import Session, Settings

EPILOG = """one photo:       OUT/scene.glb, OUT/scene.json, OUT/preview.png
several photos:  OUT/<photo name>/scene.glb and so on. What is finished is skipped, what fails is
                 listed at the end (exit code 1), and an interrupted run goes on where it was when
                 it is repeated.

masks:  a label picture, a folder of one picture per object, COCO .json, .npy or .npz.
        For several photos one of
          a folder   in which X.jpg or X_rgb.jpg finds X_seg.png, X_mask.png, X_labels.json,
                     a folder X ... (elsewhere also X.png)
          a pattern  with {stem} = the photo's file name without suffix,
                     {name} = the same without _rgb, _image, _photo
          a .json    COCO file in which the photos are found by their file names

examples:
  maquette generate room.jpg -o room/
  maquette generate room.jpg --masks room_seg.png -o room/
  maquette generate room.jpg --masks room_seg.png -o room/ --samples 4 --only 1,3,lamp
  maquette generate room.jpg --masks room_seg.png -o room/ --format glb,obj --separate
  maquette generate room.jpg --masks room_seg.png -o room/ --size chair=0.9m --ground disc
  maquette generate photos/ --masks photos/ -o scenes/
  maquette generate rgb.png --masks seg.png --depth depth.png --intrinsics K.txt -o desk/
  maquette generate photos/*.jpg --masks 'masks/{name}_seg.png' -o scenes/ --json > summary.json

exit codes: 0 done (objects that failed are listed), 1 a scene failed, 2 wrong input,
            130 interrupted
"""


# options of a scene that this command has, in the order of its help
GENERATED = (
    "method",
    "model",
    "perception",
    "memory",
    "seed",
    "samples",
    "steps",
    "guidance",
    "fov",
    "settle",
    "revolve",
    "precision",
    "prompt",
    "iterations",
    "layout",
    "prior",
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "generate",
        help="photos and masks -> 3D scenes",
        description="Turn photos with instance masks into editable 3D scenes.",
        usage="maquette generate PHOTO... [--masks MASKS] -o OUT [options]",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="photo, or folder of photos",
    )
    parser.add_argument(
        "--masks",
        metavar="MASKS",
        help="masks of the objects (see below); left out, the objects are looked for, "
        "and the masks lie in OUT/masks.png",
    )
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="OUT",
        help="folder for the results",
    )
    add_options(parser, SceneOptions, GENERATED)
    parser.add_argument(
        "--only",
        metavar="LABELS",
        help="make only these objects: labels or names, separated by commas",
    )
    parser.add_argument(
        "--format",
        default="glb",
        metavar="FORMATS",
        help="of glb,obj,ply,stl,html (default: glb)",
    )
    parser.add_argument(
        "--separate", action="store_true", help="also one file per object, in OUT/scene_instances"
    )
    add_options(parser, FileSpace, ["unit", "up"])
    add_options(parser, ScaleOptions)  # a --size without a name is that of FileSpace
    add_options(parser, Surroundings)
    add_options(parser, GeometryOptions)
    parser.add_argument("--no-preview", action="store_true", help="do not draw preview.png")
    parser.add_argument(
        "--overwrite", action="store_true", help="make it again and replace what is there"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="J",
        help="processes for several photos (default: one a processor, at most four, for the "
        "embedded model, else one); 0 = in this one, which a photo can end",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=1,
        metavar="N",
        help="photos that a process makes together, which is faster on a graphics card (default: "
        "1); scenes are the same but for rounding",
    )
    add_options(parser, ExecutionOptions)
    add_common(parser)
    parser.set_defaults(run=run, settle=None)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare what ``generate`` and ``demo`` share."""
    add_options(parser, SceneOptions, ["device"])
    parser.add_argument(
        "--weights", metavar="DIR", help="folder with other weights than the embedded ones"
    )
    parser.add_argument(
        "--view", action="store_true", help="then show the scene in 3D, as `maquette view` does"
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON summary instead of text"
    )


def run(args: argparse.Namespace) -> int:
    """Generate."""
    from maquette.batch.finished import kept_before
    from maquette.batch.pairs import plan
    from maquette.errors import InputError
    from maquette.execute.pool import Engine
    from maquette.execute.store import is_far, path_at, prepared_folder

    if args.batch < 1:
        raise InputError(f"--batch {args.batch}: expected at least 1")
    refuse_file_name(args.out)
    args.settle = rests(args.settle)
    wanted = _wanted(args)
    jobs, batch = plan(args.photos, args.masks, args.out, wanted.geometry)
    if batch and args.view:
        raise InputError("--view shows one scene; leave it out, then `maquette view OUT/PHOTO`")
    if args.view and is_far(path_at(args.out)):
        raise InputError("--view shows a scene of this machine; leave it out, or write to a folder")
    asked = chosen(ExecutionOptions, args)
    share = Engine.of(asked, jobs=0).share
    prepared_folder(args.out)
    if not batch and asked == ExecutionOptions():
        return run_one(jobs[0], wanted, args)
    if asked.merge:
        return _merge(jobs, wanted, args)
    jobs = share.part(jobs)
    kept = {k: before for k, job in enumerate(jobs) if (before := kept_before(job, wanted))}
    if not (args.quiet or args.json):
        photos = counted(len(jobs), "photo")
        left = len(jobs) - len(kept)
        print(f"{photos}: {len(kept)} finished before, {left} to make -> {args.out}", flush=True)
    return run_batch(jobs, kept, wanted, args)


def rests(asked: bool | None) -> bool:
    """Whether scenes are settled: as it is asked, by default where that can be done.
    MissingExtraError where it is asked and cannot be done.
    """
    from maquette.errors import require_extra

    if asked:
        require_extra("mujoco", "--settle", "sim")
    return importlib.util.find_spec("mujoco") is not None if asked is None else asked


def _wanted(args: argparse.Namespace) -> Wanted:
    """What the arguments ask of all photos. Raises InputError."""
    from pathlib import Path

    from maquette.batch.finished import Products, Wanted
    from maquette.errors import InputError

    named, length = sizes_in(args.size)
    wanted = Wanted(
        options=chosen(SceneOptions, args),
        only=None if args.only is None else _listed(args.only),
        products=Products(
            formats=tuple(dict.fromkeys(_listed(args.format.lower()))),
            separate=args.separate,
            preview=not args.no_preview,
            space=FileSpace(
                unit=args.unit,
                up=args.up,
                size=length,
            ),
            around=chosen(Surroundings, args),
        ),
        weights=None if args.weights is None else Path(args.weights),
        overwrite=args.overwrite,
        geometry=chosen(GeometryOptions, args),
        scale=ScaleOptions(metres_per_unit=args.metres_per_unit, size=named),
    )
    if wanted.options.memory is not None and wanted.options.model == EMBEDDED:
        raise InputError(
            "--memory plans a published model, so it needs --model NAME (see `maquette models`); "
            "the embedded one takes 1 GB"
        )
    known = wanted.geometry.depth or wanted.geometry.points
    if wanted.products.around.room and not known and wanted.options.perception == EMBEDDED:
        raise InputError(
            "the embedded network sees no room; give --depth, --points or --perception, or leave "
            "--room out"
        )
    if known and wanted.options.perception != EMBEDDED:
        raise InputError(
            f"both {known} and --perception {wanted.options.perception} say how far away things "
            "are; leave one of them out"
        )
    return wanted


def _settings(wanted: Wanted) -> Settings:
    """The same with all that making needs. Raises InputError for options that do not fit."""
    from maquette.batch.run import Settings
    from maquette.hardware import choose_device
    from maquette.recipe import Options

    given = values_of(wanted)
    given["options"] = Options(**dataclasses.asdict(wanted.options))
    choose_device(wanted.options.device)
    return Settings(**given)


def run_one(job: Job, wanted: Wanted, args: argparse.Namespace) -> int:
    """One photo: the stages on a terminal, then a summary. Its error is the command's error."""
    from maquette.batch.finished import kept_before

    outcome = kept_before(job, wanted) or _made(job, wanted, args)
    if args.json:
        _print_json([outcome])
    elif not args.quiet:
        print("\n".join(_report(outcome)))
    if args.view:
        shown = view_file(job.folder)
        if not (args.json or args.quiet):
            print(f"shown by: {shown}")
    return 0


def _made(job: Job, wanted: Wanted, args: argparse.Namespace) -> Outcome:
    """Make one photo, with a bar of its stages."""
    from maquette.batch.finished import failed
    from maquette.batch.run import PICTURE_ERRORS, Session, run_job

    try:
        with stage_bar(args) as show:
            show("load", 0.0)
            session = Session.start(_settings(wanted))
            _announce(job, session, args)
            return run_job(job, session, show)
    except PICTURE_ERRORS as error:
        if args.json:
            _print_json([failed(job, error)])
        raise


def run_batch(
    jobs: Sequence[Job],
    kept: dict[int, Outcome],
    wanted: Wanted,
    args: argparse.Namespace,
) -> int:
    """Several photos, without those that are kept: a bar on a terminal, otherwise a line per photo;
    at the end a table of what failed.
    """
    outcomes = dict(kept)
    left = [k for k in range(len(jobs)) if k not in kept]
    try:
        if left:
            _make_all(jobs, left, outcomes, wanted, args)
    finally:
        _conclude([outcomes[k] for k in sorted(outcomes)], len(jobs), args)
    return int(any(outcome.status == "failed" for outcome in outcomes.values()))


def _make_all(
    jobs: Sequence[Job],
    left: Sequence[int],
    outcomes: dict[int, Outcome],
    wanted: Wanted,
    args: argparse.Namespace,
) -> None:
    """Make those that are left, into ``outcomes``, as they come."""
    bar = bar_of(len(left), "{n_fmt}/{total_fmt}|{bar:24}| {elapsed} < {remaining}  {desc}", args)
    lines = not (args.quiet or args.json) and bar.disable
    numbers = {str(jobs[k].photo): k for k in left}
    try:
        for outcome in _outcomes([jobs[k] for k in left], wanted, bar, args):
            outcomes[numbers[outcome.photo]] = outcome
            bar.update()
            if lines:
                counter = f"[{len(outcomes)}/{len(jobs)}]"
                print(f"{counter} {outcome.photo}: {_verdict(outcome)}", flush=True)
    finally:
        bar.close()


def _outcomes(
    jobs: Sequence[Job],
    wanted: Wanted,
    bar: tqdm,
    args: argparse.Namespace,
) -> Iterator[Outcome]:
    """One for each photo, as they get done."""
    from maquette.batch.run import Session, run_jobs, run_jobs_apart, workers_for
    from maquette.execute.pool import Engine

    settings = _settings(wanted)
    processes = workers_for(settings.options, args.jobs)
    engine = Engine.of(chosen(ExecutionOptions, args), *processes)
    if engine.jobs > 0 or engine.cluster is not None:
        yield from run_jobs_apart(jobs, settings, engine, args.batch)
        return

    def show(stage: str, share: float) -> None:
        bar.set_description_str(f"{jobs[bar.n].photo.name}: {stage}")

    yield from run_jobs(jobs, Session.start(settings), show, args.batch)


def _merge(jobs: Sequence[Job], wanted: Wanted, args: argparse.Namespace) -> int:
    """After all shares: InputError unless every photo is finished."""
    from maquette.batch.run import Session, is_made
    from maquette.execute.share import require_all

    session = Session.start(_settings(wanted))
    missing = [str(job.photo) for job in jobs if not is_made(job, session)]
    require_all(missing, len(jobs), "photos")
    print(f"{args.out}: all {len(jobs)} photos are made")
    return 0


def _conclude(outcomes: Sequence[Outcome], total: int, args: argparse.Namespace) -> None:
    """Print the sums and the table of failures, also when interrupted."""
    if args.json:
        _print_json(outcomes)
        return
    count = _count(outcomes)
    if not args.quiet:
        print(
            f"{count['made']} made, {count['kept']} finished before, {count['failed']} failed "
            f"of {total} photos -> {args.out}"
        )
    bad = [outcome for outcome in outcomes if outcome.status == "failed"]
    if bad:
        rows = [(f"  {outcome.photo}", str(outcome.error)) for outcome in bad]
        print("\n".join(["failed:", *aligned(rows)]), file=sys.stderr)


def _count(outcomes: Sequence[Outcome]) -> dict[str, int]:
    statuses = [outcome.status for outcome in outcomes]
    return {status: statuses.count(status) for status in ("made", "kept", "failed")}


def _announce(job: Job, session: Session, args: argparse.Namespace) -> None:
    """The memory plan of a published model, before minutes are spent on it."""
    from maquette.checkpoints.released import PublishedSet
    from maquette.hardware import choose_device
    from maquette.inputs import read_scene_input

    options = session.settings.options
    weights = session.models
    if not isinstance(weights, PublishedSet) or args.json or args.quiet or job.masks is None:
        return
    objects = len(read_scene_input(job.photo, job.masks, only=session.settings.only).masks)
    plan = weights.released.plan(choose_device(options.device), objects, options.memory)
    memory = {
        "plan": plan.describe(),
        "estimated_mb": plan.estimates,
        "measured_mb": {},
    }
    print("\n".join(_memory_lines(memory)), flush=True)


def _verdict(outcome: Outcome) -> str:
    if outcome.status == "failed":
        return f"failed: {outcome.error}"
    objects = counted(len(outcome.instances), "object")
    if outcome.failures:
        objects += f", {len(outcome.failures)} failed"
    if outcome.status == "kept":
        return f"{objects}, finished before"
    return f"{objects}, {making_seconds(outcome.seconds):.1f} s"


def _report(outcome: Outcome) -> list[str]:
    """The summary of one photo, as lines."""
    lines = []
    if outcome.status == "kept":
        lines.append(
            f"{outcome.photo}: already finished, from the same photo, masks and options; "
            "--overwrite makes it again"
        )
    if outcome.proposed:
        lines.append(
            f"no masks were given: {counted(len(outcome.instances), 'object')} found, "
            f"{outcome.masks}; correct them and run it again with --overwrite, or give --masks"
        )
    lines += [f"  {path}" for path in outcome.files]
    stages = [f"{stage} {seconds:.1f}" for stage, seconds in outcome.seconds.items()]
    made = [stage for stage in stages if stage.split()[0] not in WRITING]
    written = [stage for stage in stages if stage not in made]
    total = f"{making_seconds(outcome.seconds):.1f} = {' + '.join(made)}"
    lines.append(f"seconds: {total}; then {' + '.join(written)}")
    if outcome.memory:
        lines += _memory_lines(outcome.memory)
    if len(outcome.tries) > 1:
        lines.append(f"self-check of each try: {', '.join(map(_tried, outcome.tries))}")
    lines.append(f"objects: {len(outcome.instances)} made, {len(outcome.failures)} failed")
    lines += map(_instance_line, outcome.instances)
    for failure in outcome.failures:
        lines.append(
            f"  label {failure['label']:<8} FAILED ({failure['stage']}): {failure['reason']}"
        )
    return lines + [f"note: {warning}" for warning in outcome.warnings]


def _tried(attempt: dict) -> str:
    kept = " (kept)" if attempt["kept"] else ""
    return f"seed {attempt['seed']} {attempt['score']:.3f}{kept}"


def _instance_line(instance: dict) -> str:
    confidence = "-" if instance["confidence"] is None else f"{instance['confidence']:.2f}"
    estimate = instance.get("estimate")
    shape = f", shape {estimate['f_score']:.2f}" if estimate else ""
    doubt = estimate["reason"] if estimate else ""
    notes = "; ".join(filter(None, [instance["name"], doubt, *instance["warnings"]]))
    return f"  {instance['node']:<14} confidence {confidence}{shape}  {notes}".rstrip()


def _memory_lines(memory: dict) -> list[str]:
    """The plan of a published model, and how near the estimates were."""
    measured = {stage: f" ({peak:.0f})" for stage, peak in memory["measured_mb"].items()}
    peaks = [
        f"{stage} {estimate:.0f}{measured.get(stage, '')}"
        for stage, estimate in memory["estimated_mb"].items()
    ]
    what = "estimated (measured)" if measured else "estimated"
    return [f"memory plan: {memory['plan']}", f"peak MB, {what}: {', '.join(peaks)}"]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _print_json(outcomes: Sequence[Outcome]) -> None:
    results = [dataclasses.asdict(outcome) for outcome in outcomes]
    print(json.dumps({**_count(outcomes), "results": results}, indent=2))
