"""Masks as run lengths, plain and compressed, as COCO has them. Used by coco.

A mask is read column by column; the counts alternate between background and object and begin with
background (Lin et al., Microsoft COCO, 2014, appendix; format as in the reference API). The
compressed string stores each count from the third on as the difference to the count two before, in
groups of 5 bits, low group first, each as one printable character from code 48 on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maquette.errors import InputError
from maquette.photos.pixels import Size, shown
from maquette.types import JsonObject


def decode_rle(
    counts: str | bytes | Sequence[int], size: Size, where: str = "run lengths"
) -> np.ndarray:
    """Decode plain or compressed counts to a mask (H, W) bool. Raises InputError when they do not
    fill ``size`` exactly.
    """
    runs = _uncompressed(counts, where) if isinstance(counts, (str, bytes)) else counts
    listed = isinstance(runs, Sequence)
    if not listed or not all(isinstance(run, int) and run >= 0 for run in runs):
        raise InputError(
            f"{where}: run lengths must be a list of whole numbers from 0 on, "
            "or a compressed string; export it again"
        )
    height, width = size
    if sum(runs) != height * width:
        whole = f"{shown(size)} has {height * width}"
        raise InputError(
            f"{where}: the run lengths add up to {sum(runs)} pixels but {whole}; export it again"
        )
    if not sum(runs[1::2]):
        return np.zeros(size, bool)
    values = np.arange(len(runs)) % 2 == 1
    columns = np.repeat(values, np.asarray(runs, np.int64)).reshape(width, height)
    return columns.T.copy()


def encode_rle(mask: np.ndarray) -> JsonObject:
    """Encode a mask (H, W) bool as ``{"size": [H, W], "counts": compressed string}``."""
    flat = mask.T.ravel()
    starts = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], starts, [flat.size]])
    runs = np.diff(edges).tolist()
    if flat.size and flat[0]:
        runs.insert(0, 0)
    return {"size": [int(s) for s in mask.shape], "counts": _compressed(runs)}


def _uncompressed(text: str | bytes, where: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for code in text if isinstance(text, bytes) else text.encode("ascii", "replace"):
        group = code - 48
        if not 0 <= group < 64 or shift > 40:
            raise InputError(
                f"{where}: the compressed run lengths are damaged at count {len(runs)}; "
                "export it again"
            )
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (group & 16) << (shift - 4)  # the top bit of the last group is the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise InputError(f"{where}: the compressed run lengths are truncated; export it again")
    return runs


def _compressed(runs: Sequence[int]) -> str:
    text = []
    for k, run in enumerate(runs):
        value = run - (runs[k - 2] if k > 2 else 0)
        more = True
        while more:
            group = value & 31
            value >>= 5
            more = value != (-1 if group & 16 else 0)
            text.append(chr(48 + group + 32 * more))
    return "".join(text)
