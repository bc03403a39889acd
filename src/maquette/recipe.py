"""What is asked of a scene, and the weights that it needs: the options, with the method and the
networks that they name.

In the flow: after the methods, before the attempts that follow a recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from maquette.checkpoints.depth_networks import DepthNetwork, open_depth_network
from maquette.checkpoints.embedded import PERCEPTION
from maquette.declare import values_of
from maquette.errors import InputError, require_extra
from maquette.hardware import choose_device
from maquette.methods.base import (
    Method,
    Weights,
    Wishes,
)
from maquette.methods.lookup import PUBLISHED, find_method
from maquette.options import EMBEDDED, TUNING, SceneOptions
from maquette.stages.finish import Finish
from maquette.types import JsonObject, StrPath


@dataclass(frozen=True)
class Options(SceneOptions):
    """Everything that decides the result besides the photo, the masks and the weights.

    ``method``: a name of METHODS or of an installed package, ``FILE.py:NAME``, or a method of your
    own. None of an option = as the method, or the photo's file, has it.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.settle:
            require_extra("mujoco", "settling", "sim")
        if self.model != EMBEDDED and self.model not in PUBLISHED:
            known = ", ".join([EMBEDDED, *PUBLISHED])
            raise InputError(f"unknown model {self.model!r}; choose from {known}")
        if self.chosen.tuned is None and self.tuning:
            raise InputError(
                f"{', '.join(self.tuning)}: options of --method comboverse only, "
                f"not of {self.chosen.name}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """What was asked: another process finds the method itself, whose file it has to run."""
        return values_of(self)

    @property
    def tuning(self) -> dict[str, Any]:
        """The options that only some methods have, as far as they are given."""
        given = {name: getattr(self, name) for name in TUNING}
        return {name: value for name, value in given.items() if value is not None}

    @cached_property
    def chosen(self) -> Method:
        """The method itself, with its own options. InputError when there is none, or these are
        wrong.
        """
        if self.model != EMBEDDED:
            return PUBLISHED[self.model]
        method = find_method(self.method) if isinstance(self.method, str) else self.method
        return method.tuned(fit=self.fit, **self.tuning) if method.tuned else method

    @property
    def finish(self) -> Finish:
        """What is asked of the meshes."""
        return Finish(self.fit, self.texture, self.triangles)

    @property
    def wishes(self) -> Wishes:
        """What a method is told of the sampling."""
        return Wishes(self.seed, self.steps, self.guidance)

    def record(self) -> JsonObject:
        """The options for provenance, the method by its name."""
        fields = values_of(self)
        for key, usual in (("precision", "auto"), ("perception", EMBEDDED)):
            if fields[key] == usual:
                del fields[key]
        for key in ("method", "perception"):
            if not isinstance(fields.get(key, ""), str):
                fields[key] = fields[key].name
        return fields

    def kinds(self) -> tuple[str, ...]:
        """The kinds of embedded weights that are needed."""
        return (PERCEPTION, *self.chosen.kinds)

    def kinds_of(self, weights: Weights) -> tuple[str, ...]:
        """The kinds that are used of these weights: those needed, then the optional ones that are
        there.
        """
        return (*self.kinds(), *filter(weights.has, self.chosen.optional))


def load_for(options: Options, weights: StrPath | None = None) -> Weights:
    """The weights that the options need, from the package, from where they were fetched, or from a
    folder. Raises CheckpointError.
    """
    return options.chosen.load(weights, choose_device(options.device))


def open_perception(options: Options) -> DepthNetwork | None:
    """The network of others that the options name; None = our own. InputError when it is not here,
    CheckpointError when it sees no depth.
    """
    if options.perception == EMBEDDED:
        return None
    if isinstance(options.perception, DepthNetwork):
        return options.perception
    return open_depth_network(str(options.perception), choose_device(options.device))
