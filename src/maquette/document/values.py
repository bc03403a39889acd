"""Values of Python as what a scene document can hold: JSON, and .npz files that are equal where
arrays are. Before scene_json.py in the flow.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.types import JsonObject, check_unicode

DEEPEST = 100  # levels of provenance


def finite_or_none(value: float) -> float | None:
    """The number; None for nan and infinity, which JSON does not know."""
    return float(value) if math.isfinite(value) else None


def npz_bytes(arrays: Mapping[str, np.ndarray], where: str) -> bytes:
    """Return arrays as .npz, with fixed dates, so that equal arrays give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, value in arrays.items():
            array = np.asarray(value)
            if array.dtype.hasobject:
                raise InputError(
                    f"{where}: {key!r} holds Python objects; expected a plain array; convert it"
                )
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return stream.getvalue()


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """Return the JSON form of provenance: numpy numbers become numbers, tuples lists, nan and
    infinity null.
    """
    if depth > DEEPEST:
        raise InputError(f"{where[:60]}... is nested more than {DEEPEST} levels deep; flatten it")
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    deeper = depth + 1
    if isinstance(value, Mapping):
        items = value.items()
        return {str(k): plain(item, f"{where}.{k}", deeper) for k, item in items}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{k}]", deeper) for k, item in enumerate(value)]
    if isinstance(value, float):
        return finite_or_none(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise InputError(
        f"{where} is a {type(value).__name__}; expected what JSON can hold; "
        "convert it to text or numbers"
    )


def _listed(value: Any) -> Any:
    """Arrays as lists. InputError for what JSON cannot hold."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise InputError(f"the scene has a {type(value).__name__} where JSON wants text or numbers")


def dump(record: JsonObject) -> str:
    """Return indented JSON in which a row of numbers is one line."""
    try:
        text = json.dumps(
            record,
            indent=2,
            ensure_ascii=False,
            allow_nan=False,
            default=_listed,
        )
    except ValueError as error:
        raise InputError(
            f"the scene has a number that is not finite, or too long ({error}), in its camera, "
            "a transform, a mesh or the provenance; fix or delete it"
        ) from error
    check_unicode(text, "the scene has a name or another text that")
    rows = re.compile(r"\[\n\s*([-+0-9.eE,\s]+?)\n\s*\]")
    return rows.sub(lambda row: f"[{' '.join(row[1].split())}]", text) + "\n"
