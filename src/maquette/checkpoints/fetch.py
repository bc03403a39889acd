"""Bringing a release onto this machine: what is missing, whether it fits, the download, and proof
that it arrived whole.

In the flow: catalogue -> folders of files -> the published pipelines. A folder of weights holds one
folder per repository, named like it; ``.maquette.json`` in each records the commit and every file's
size and sha256, and later fetches and loads hold to that record. Only ``survey`` and ``fetch``
touch the network, through the ``Hub`` they are given.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from maquette.checkpoints.catalogue import (
    HubRepository,
    Release,
    ReleasedFile,
    default_root,
    hub_model,
    source_folder,
)
from maquette.checkpoints.hub import Hub, RemoteFile
from maquette.checkpoints.layouts import PICKLES, VARIANTS, read_config, rescue_pickle
from maquette.errors import CheckpointError, OutputError
from maquette.output import atomic_write, writable_folder
from maquette.types import JsonObject, StrPath

PIN_FILE = ".maquette.json"
SMALL_FILES = r"[^/]*\.(json|txt|model)"  # of a repository, that may be needed
WEIGHT_FILES = r"model(-\d+-of-\d+)?\.safetensors"
RESERVE = 2**28  # bytes that stay free on the disk


@dataclass(frozen=True)
class Missing:
    """A file to bring."""

    source: HubRepository
    commit: str
    path: str
    size: int
    sha256: str | None  # what it must be; None = recorded at arrival
    # False = the sum comes from the hub itself or is recorded at arrival, not from the catalogue or
    # an earlier fetch
    trusted: bool


Tell = Callable[[str], None]  # one line for people


@dataclass(frozen=True)
class Pin:
    """The record of a fetched repository; without a revision nothing was fetched."""

    revision: str | None = None
    # path -> size and sha256, and of pickles those of the file that has their tensors
    files: Mapping[str, JsonObject] = field(default_factory=dict)

    def of(self, commit: str) -> Mapping[str, JsonObject]:
        """What is recorded of a commit."""
        return self.files if self.revision == commit else {}


def locate(release: Release, root: StrPath | None = None) -> dict[str, Path]:
    """Folder of each repository of a release, by repository. CheckpointError names what is missing
    and the command that brings it.
    """
    chosen = default_root() if root is None else Path(root)
    found = {source.repository: source_folder(source, chosen) for source in release.sources}
    for source in release.sources:
        folder = found[source.repository]
        if not (folder / source.marker).is_file():
            where = "" if root is None else f" --to {root}"
            fetch = f"maquette models fetch {release.name}{where}"
            raise CheckpointError(
                f"{release.name} is not complete in {chosen}: {source.repository} should stand in "
                f"{folder}; fetch it with `{fetch}`, or pass its folder with --weights"
            )
    return found


def survey(release: Release, root: Path, hub: Hub) -> list[Missing]:
    """What is still to be brought. Raises CheckpointError when the hub cannot be asked or does not
    have what the catalogue says.
    """
    missing = []
    for source in release.sources:
        folder = root / source.folder
        pin = read_pin(folder)
        revision = source.revision or pin.revision
        pinned = pin.revision is not None and pin.revision == revision
        if pinned and _complete(source, folder, pin):
            continue
        commit, files = hub.listing(source.repository, revision)
        recorded = pin.of(commit)
        for path, known in _wanted(source, commit, files):
            entry = recorded.get(path)
            if entry is None or not _stands(folder, path, entry):
                missing.append(_demand(source, commit, files[path], known, entry))
    return missing


def any_repository(name: str, hub: Hub) -> Release:
    """A repository of the hub that looks at photos, with what is needed of it: configurations,
    words, and the weights once. Raises InputError, CheckpointError.
    """
    known = hub_model(name)
    _, files = hub.listing(known.repository, None)
    wanted = [path for path in sorted(files) if re.fullmatch(SMALL_FILES, path)]
    weights = [path for path in sorted(files) if re.fullmatch(WEIGHT_FILES, path)]
    if not weights:
        fallbacks = ("model.pt", "pytorch_model.bin")
        weights = [str(path) for path in fallbacks if path in files][:1]
    if not weights:
        raise CheckpointError(f"{known.repository} has no weights that are read; give another")
    listed = tuple(ReleasedFile(path, files[path].size) for path in (*wanted, *weights))
    licence = f"{known.licence}; its card says {hub.licence(known.repository)}"
    sources = (HubRepository(known.repository, None, listed),)
    return Release(
        name=name,
        title=known.repository,
        what=known.what,
        scene=False,
        licence=licence,
        limits="what its licence says",
        paper="",
        sources=sources,
        parameters=0.0,
        needs="a photo",
        memory=(0.0, 0.0),
    )


def fetch(
    missing: Sequence[Missing],
    root: Path,
    hub: Hub,
    tell: Tell = lambda line: None,
) -> None:
    """Bring the files, check each, record it. Raises OutputError when the disk is too small,
    CheckpointError for a damaged file.
    """
    check_space(sum(item.size for item in missing), root)
    for item in missing:
        repository = item.source.repository
        folder = writable_folder(root / item.source.folder)
        hub.download(repository, item.commit, item.path, folder, item.size)
        path = folder / item.path
        digest = file_sha256(path)
        if item.sha256 not in (None, digest):
            path.unlink()
            differ = f"sha256 {digest[:12]}..., expected {item.sha256[:12]}..."
            raise CheckpointError(
                f"{repository}: {item.path} arrived damaged, {differ}; it was deleted, fetch it "
                "again"
            )
        entry: JsonObject = {"size": path.stat().st_size, "sha256": digest}
        if not item.trusted and item.size > 2**20:
            tell(
                f"{item.path}: no sum was known beforehand; sha256 {digest} is recorded and "
                "checked "
                "from now on"
            )
        if path.suffix in PICKLES:
            entry |= _without_pickle(folder, item.path, tell)
        files = {**read_pin(folder).of(item.commit), item.path: entry}
        pin = {
            "repository": repository,
            "revision": item.commit,
            "files": files,
        }
        with atomic_write(folder / PIN_FILE) as temporary:
            temporary.write_text(json.dumps(pin, indent=1), encoding="utf-8")


def check_space(needed: int, root: Path) -> None:
    """OutputError when the disk of ``root`` has not room for ``needed`` bytes."""
    there = next(path for path in (root, *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed + RESERVE > free:
        room = f"{needed / 1e9:.2f} GB are to come but {free / 1e9:.2f} GB are free"
        raise OutputError(f"{root}: {room}; make room or choose another disk with --to FOLDER")


def check_release(release: Release, root: Path) -> list[str]:
    """Sum every recorded file again; returns a line for each that is not as recorded."""
    wrong = []
    for source in release.sources:
        folder = source_folder(source, root)
        pin = read_pin(folder)
        if pin.revision is None:
            wrong.append(
                f"{folder}: not fetched by maquette, so there is no record to check it against"
            )
        for path, entry in pin.files.items():
            there = folder / entry.get("converted", path)
            expected = str(entry.get("converted_sha256", entry["sha256"]))
            if not there.is_file():
                wrong.append(f"{there}: missing")
            elif file_sha256(there) != expected:
                wrong.append(f"{there}: sha256 is not {expected[:12]}...")
    return wrong


def recorded_sums(folder: Path) -> dict[str, str]:
    """Sha256 by path of what was fetched into a folder; empty for a folder that maquette did not
    fetch.
    """
    return {path: entry["sha256"] for path, entry in read_pin(folder).files.items()}


def read_pin(folder: Path) -> Pin:
    """The record in a repository's folder; an empty one when there is none."""
    path = folder / PIN_FILE
    if not path.is_file():
        return Pin()
    said = read_config(path)
    pin = Pin(said.get("revision"), said.get("files", ()))
    if not isinstance(pin.files, dict) or not isinstance(pin.revision, str):
        raise CheckpointError(f"{path} is damaged; delete it and fetch the model again")
    return pin


def file_sha256(path: StrPath) -> str:
    """Sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(2**22):
            digest.update(piece)
    return digest.hexdigest()


def _wanted(
    source: HubRepository, commit: str, files: dict[str, RemoteFile]
) -> list[tuple[str, ReleasedFile]]:
    """Return the paths a source needs in this commit, with what the catalogue knows."""
    wanted = []
    for file in source.files:
        alternatives = _alternatives(file.path, files)
        if not alternatives:
            raise CheckpointError(
                f"{source.repository} at {commit[:12]} has no {file.path}; the repository has "
                "changed, report it"
            )
        wanted += [(found, file) for found in alternatives]
    return wanted


def _alternatives(path: str, files: Collection[str]) -> list[str]:
    """Return the path itself, its half-precision variant, or its shards with their index."""
    if path in files or not path.endswith(".safetensors"):
        return [path] if path in files else []
    stem = path.removesuffix(".safetensors")
    for variant in VARIANTS:
        if f"{stem}{variant}.safetensors" in files:
            return [f"{stem}{variant}.safetensors"]
        index = f"{stem}.safetensors.index{variant}.json"
        if index in files:
            shard = re.compile(rf"{re.escape(stem + variant)}-.*\.safetensors")
            return [index, *sorted(filter(shard.fullmatch, files))]
    return []


def _demand(
    source: HubRepository,
    commit: str,
    remote: RemoteFile,
    known: ReleasedFile,
    recorded: JsonObject | None,
) -> Missing:
    """Return what a file must be: by the catalogue, by an earlier fetch, or by the hub's own word.
    CheckpointError when two disagree.
    """
    size, sha256 = None, None
    if known.path == remote.path:
        size, sha256 = known.size, known.sha256
    for what, expected, found in (("size", size, remote.size), ("sha256", sha256, remote.sha256)):
        if None not in (expected, found) and expected != found:
            place = f"{source.repository} at {commit[:12]}: {remote.path}"
            raise CheckpointError(
                f"{place} has {what} {found}, the catalogue says {expected}; do not use it, "
                "report it"
            )
    expected = sha256 or (recorded or {}).get("sha256")
    trusted = expected is not None
    wanted = expected or remote.sha256
    return Missing(source, commit, remote.path, remote.size, wanted, trusted)


def _stands(folder: Path, path: str, entry: JsonObject) -> bool:
    """Whether a recorded file is still there in its recorded size."""
    there = folder / entry.get("converted", path)
    return there.is_file() and there.stat().st_size == entry.get("converted_size", entry["size"])


def _complete(source: HubRepository, folder: Path, pin: Pin) -> bool:
    """Whether a folder has all of its record, and its record all of the source."""
    known = all(_alternatives(file.path, pin.files) for file in source.files)
    if not known or not all(_stands(folder, *recorded) for recorded in pin.files.items()):
        return False
    indices = [path for path in pin.files if ".safetensors.index" in path]
    listed = [read_config(folder / path).get("weight_map", {}).values() for path in indices]
    return set().union(*listed) <= set(pin.files)


def _without_pickle(folder: Path, path: str, tell: Tell) -> JsonObject:
    """Replace a pickle by its tensors."""
    converted = PurePosixPath(path).with_suffix(".safetensors").as_posix()
    count = rescue_pickle(folder / path, folder / converted)
    (folder / path).unlink()
    tell(
        f"{path}: is a pickle; its {count} tensors were taken out into {converted}, nothing else "
        "of it was run"
    )
    return {
        "converted": converted,
        "converted_size": (folder / converted).stat().st_size,
        "converted_sha256": file_sha256(folder / converted),
    }
