"""What a sampler may leave out without changing its result. Each saving is a switch, and tested to
equal the plain path.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Savings:
    """Exact savings, up to rounding; ``ALL`` are on by default, ``PLAIN`` has none."""

    one_batch: bool = True  # conditional and unconditional pass in one batch
    # attention to one token (CLIP's, or the zeros of the unconditional pass) is a constant vector
    constants: bool = True
    cache: bool = (
        True  # keys and values of the pictures, and modulations of all noise levels, are made once
    )
    shared_scene: bool = (
        True  # I-Scene: the scene branch is the same for all instances and computed once
    )
    octree: bool = True  # vector-set decoders are asked near the surface only


ALL = Savings()
PLAIN = Savings(False, False, False, False, False)
