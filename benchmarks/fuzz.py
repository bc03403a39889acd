"""Damaged files against every reader: each must be read, or refused by a MaquetteError of one line.

    python benchmarks/fuzz.py [--cases 10000] [--jobs 1] [--target NAME]
    python benchmarks/fuzz.py --target NAME --case K        one case again, with its traceback

A case is a sound input (``fuzz_seeds``) of which one file is damaged (``fuzz_mutations``); the
target's name and the case's number determine it. Readers run in a process of their own with limits
of memory and time. "good": the input was read; "clean": refused as it should be; "bad": another
exception, a message of several lines or of more than 1,000 characters, a process that ended, or
more time or memory than the limits. The table should say 0 bad.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import multiprocessing
import os
import resource
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_mutations
import fuzz_seeds

from maquette.errors import MaquetteError

LONGEST_MESSAGE = 1000  # characters
MEMORY = 6 << 30  # bytes that a reader may take beyond what its process has at the start
SECONDS = 60  # that one case may take
START_SECONDS = 300  # until a process has made its seeds
SHOWN = 20  # bad cases in the table
LISTED_FRAMES = 3  # places in maquette that the line of a bad case names


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    case: int
    kind: str  # "good", "clean" or "bad"
    message: str = ""


def read_photo(path: Path) -> None:
    """Pixels, opacity and focal length."""
    from maquette.photos.read import read_photo

    photo = read_photo(path)
    assert photo.image.ndim == 3 and photo.image.shape[2] == 3, photo.image.shape


def read_mask_file(path: Path) -> None:
    """Masks of every kind, brought to the photo's size."""
    from maquette.masks.read import load_masks

    for mask in load_masks(path, fuzz_seeds.SIZE, image_name="photo.png").masks:
        assert mask.mask.shape == fuzz_seeds.SIZE and mask.label > 0, mask


def read_geometry(path: Path) -> None:
    """A depth map, points or a camera, brought to the photo."""
    from maquette.given.fit import GeometrySource, Shown, fit_geometry

    key = path.name.partition(".")[0].partition("_")[0]
    photo = Shown(fuzz_seeds.SIZE, fuzz_seeds.labels().astype(int), name="photo.png")
    fitted = fit_geometry(GeometrySource(**{key: path}), photo)
    depth = fitted.geometry.depth
    assert depth is None or depth.shape == fuzz_seeds.SIZE, depth.shape


def read_scene(path: Path) -> None:
    """A scene document, saved and exported again."""
    from maquette.document.scene_json import load, save
    from maquette.export import export_scene

    scene = load(path)
    export_scene(scene, path.with_name("exported.glb"))
    load(save(scene, path.with_name("again") / "scene.json"))


def read_mesh(path: Path) -> None:
    """A mesh file by each of its readers; the first error counts, for they should refuse alike."""
    from maquette.export.mesh_files import read_mesh_file
    from maquette.export.read import load_named_meshes, read_glb

    refusal = None
    for read in (read_mesh_file, load_named_meshes, read_glb):
        try:
            read(path)
        except MaquetteError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal


def read_evaluation(path: Path, form: str) -> None:
    """Every scene of a folder with ground truth."""
    from maquette.evaluate.readers import sources_of

    for source in sources_of(path, form):
        assert source.identity
        source.load()


def read_weights(path: Path) -> None:
    """A weights file: its kind, shapes, tensors, and the network."""
    from maquette.checkpoints.layouts import read_shapes, read_tensors
    from maquette.checkpoints.store import kind_of, load_model

    kind_of(path)
    read_shapes(path)
    read_tensors(path)
    load_model(path)


def verify_published(path: Path) -> None:
    """`models verify` of one folder."""
    from maquette.checkpoints.verify import verify

    verify(path)


@dataclass(frozen=True)
class Target:
    """A reader and what writes sound inputs of it."""

    write: Callable[[Path], None]
    read: Callable[[Path], None]


TARGETS = {
    "photo": Target(fuzz_seeds.write_photos, read_photo),
    "masks": Target(fuzz_seeds.write_mask_files, read_mask_file),
    "geometry": Target(fuzz_seeds.write_geometry, read_geometry),
    "scene": Target(fuzz_seeds.write_scenes, read_scene),
    "mesh": Target(fuzz_seeds.write_mesh_files, read_mesh),
    "evaluation": Target(
        fuzz_seeds.write_evaluation_folders, functools.partial(read_evaluation, form="folder")
    ),
    "midi-3dfront": Target(
        fuzz_seeds.write_midi_rooms, functools.partial(read_evaluation, form="midi-3dfront")
    ),
    "weights": Target(fuzz_seeds.write_weights, read_weights),
    "verify": Target(fuzz_seeds.write_published, verify_published),
}


@functools.cache
def seeds(target: str) -> list[fuzz_seeds.Seed]:
    """The sound inputs of a target."""
    return fuzz_seeds.seeds_of(TARGETS[target].write)


def write_case(target: str, case: int, folder: Path) -> Path:
    """Write a case into an empty folder; returns the path that the reader is given."""
    random = Random(f"{target} {case}")
    seed = random.choice(seeds(target))
    entry_is_file = seed.entry in seed.files
    at_entry = entry_is_file and random.random() < 0.4
    name = seed.entry if at_entry else random.choice(sorted(seed.files))
    damaged = fuzz_mutations.mutated(seed.files[name], name, random)
    write_files(folder, seed.files | {name: damaged})
    return folder / seed.entry


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by their names in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def try_case(target: str, case: int) -> Outcome:
    """Write a case, read it and judge what happened."""
    with tempfile.TemporaryDirectory() as folder:
        return read_and_judge(target, write_case(target, case, Path(folder)), case)


def read_and_judge(target: str, path: Path, case: int = 0) -> Outcome:
    """What a reader makes of an input; whatever it raises is judged, for that is looked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            TARGETS[target].read(path)
        except Exception as error:
            return judged(case, error)
    return Outcome(case, "good")


def judged(case: int, error: Exception) -> Outcome:
    """Whether an exception is a clean refusal."""
    message = str(error)
    if not isinstance(error, MaquetteError):
        first_line = message.partition("\n")[0][:200]
        return Outcome(case, "bad", f"{type(error).__name__}: {first_line} at {_place(error)}")
    if "\n" in message or "\r" in message:
        return Outcome(case, "bad", f"several lines: {message[:300]!r}")
    if len(message) > LONGEST_MESSAGE:
        return Outcome(case, "bad", f"{len(message)} characters: {message[:200]}...")
    return Outcome(case, "clean", message)


def _place(error: Exception) -> str:
    """Where in maquette an exception passed, the innermost place first."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if "maquette" in Path(frame.filename).parts]
    shown = inside[-LISTED_FRAMES:][::-1]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in shown)


def serve(target: str, cases: range, connection: Connection) -> None:
    """In a process of its own: the outcome of each case, after a first None when all is ready."""
    import torch

    torch.set_num_threads(1)
    logging.disable()
    with open(os.devnull, "w") as nowhere:  # decoders in C write there
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    for case in cases[:1]:
        seeds(target)
        with contextlib.suppress(Exception):  # load the readers' modules before memory is limited
            TARGETS[target].read(Path(f"no such file {case}"))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    connection.send(None)
    for case in cases:
        connection.send(try_case(target, case))


def run_cases(target: str, cases: range) -> Iterator[Outcome]:
    """The outcomes of cases in turn; a process that ends or hangs is replaced behind its case."""
    while cases:
        done = 0
        for outcome in _until_it_ends(target, cases):
            done += 1
            yield outcome
        cases = cases[done:]


def _until_it_ends(target: str, cases: range) -> Iterator[Outcome]:
    """The outcomes that one process tells, the last of which may be that it ended."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(target, cases, sender), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(START_SECONDS) or receiver.recv() is not None:
            raise RuntimeError(f"{target}: its process did not begin; run one case to see why")
        for case in cases:
            if not receiver.poll(SECONDS):
                yield Outcome(case, "bad", f"takes more than {SECONDS} s")
                return
            try:
                yield receiver.recv()
            except EOFError:
                process.join()
                yield Outcome(case, "bad", f"ended its process ({process.exitcode})")
                return
    finally:
        process.kill()
        process.join()
        receiver.close()


def run_target(target: str, cases: range) -> list[Outcome]:
    """All outcomes of a target."""
    return list(run_cases(target, cases))


def print_table(results: Iterable[tuple[str, list[Outcome]]]) -> int:
    """Print what became of the cases, a target as soon as it is done, and each kind of bad one;
    returns how many were bad.
    """
    print(f"{'target':14}{'tried':>8}{'good':>8}{'clean':>8}{'bad':>8}", flush=True)
    total: Counter[str] = Counter()
    bad: dict[str, list[Outcome]] = {}
    for target, outcomes in results:
        counts = Counter(outcome.kind for outcome in outcomes)
        _print_row(target, counts)
        total += counts
        bad[target] = [outcome for outcome in outcomes if outcome.kind == "bad"]
    _print_row("all", total)
    for target, outcomes in bad.items():
        _print_bad(target, outcomes)
    return total["bad"]


def _print_row(name: str, counts: Counter[str]) -> None:
    kinds = "".join(f"{counts[kind]:8}" for kind in ("good", "clean", "bad"))
    print(f"{name:14}{counts.total():8}{kinds}", flush=True)


def _print_bad(target: str, outcomes: list[Outcome]) -> None:
    """One line for each place where bad cases came from, with how to repeat the first."""
    alike: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        alike.setdefault(outcome.message.rpartition(" at ")[2], []).append(outcome)
    for cases in sorted(alike.values(), key=len, reverse=True)[:SHOWN]:
        first = cases[0]
        print(f"{len(cases)} x {first.message}\n    --target {target} --case {first.case}")


def repeat(target: str, case: int) -> None:
    """Read one case in this process and let its exception through."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_case(target, case, Path(folder))
        print(path, sorted(file.name for file in Path(folder).rglob("*")))
        TARGETS[target].read(path)
    print("good")


def main() -> int:
    """Run the cases that the command line asks for; 1 when one was bad."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000, help="over all targets together")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--first", type=int, default=0, help="number of each target's first case")
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--case", type=int, help="repeat this one")
    options = parser.parse_args()
    targets = options.target or list(TARGETS)
    if options.case is not None:
        repeat(targets[0], options.case)
        return 0
    count = -(-options.cases // len(targets))
    each = range(options.first, options.first + count)
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = pool.map(functools.partial(run_target, cases=each), targets)
        bad = print_table(zip(targets, outcomes))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
