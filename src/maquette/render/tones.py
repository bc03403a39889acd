"""Between sRGB-encoded colours and linear light: a cheap curve in, a tone curve out.

Used by shade.py and data/illumination.py.
"""

from __future__ import annotations

import numpy as np

CUBIC = (0.305306011, 0.682171111, 0.012522878)  # within 0.002 of the sRGB standard's curve


def linear(encoded: np.ndarray) -> np.ndarray:
    """Encoded values in 0..1 -> linear light of the same type: a cubic that stays within 0.002 of
    the standard's curve.
    """
    third, second, first = CUBIC
    return encoded * (encoded * (encoded * third + second) + first)


def developed(light: np.ndarray, shoulder: float) -> np.ndarray:
    """Linear light -> sRGB bytes; highlights are compressed above ``shoulder``, towards white."""
    room = max(1.0 - shoulder, 1e-3)
    bent = shoulder + room * (1.0 - np.exp(-(light - shoulder) / room))
    light = np.where(light > shoulder, bent, light)
    curved = 1.055 * light ** (1.0 / 2.4) - 0.055
    encoded = np.where(light <= 0.0031308, 12.92 * light, curved)
    return np.round(255.0 * np.clip(encoded, 0.0, 1.0)).astype(np.uint8)
