"""The seed of each object's noise.

In the flow: before everything that draws noise, in the embedded and in the published methods.
"""

from __future__ import annotations

import numpy as np


def instance_seed(seed: int, label: int) -> int:
    """The seed of one instance's noise: a function of the scene's seed and the label only, so that
    neighbours never matter.
    """
    return int(np.random.SeedSequence([seed, label]).generate_state(1)[0])
