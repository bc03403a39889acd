"""What a published model is to maquette: how to build, load, run and check it. Every family module
uses this, and nothing else.

In the flow: config.json and tensors of a released file -> a network of ``maquette.models`` in eval
mode.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from maquette.checkpoints.layouts import Shapes, StateDict
from maquette.errors import CheckpointError, present

Config = Mapping[str, Any]  # the content of config.json
C = TypeVar("C")
Network = TypeVar("Network", bound=nn.Module)
Tensors = Mapping[str, Tensor]
Outputs = StateDict
# network (None where there is none), inputs, configuration -> outputs
Run = Callable[[Any, Tensors, Config], Outputs]
TOLERANCE = 1e-5  # largest absolute error in float32
SIZES_PER_SIDE = 64  # a configuration's size may be so many times the longest side of a tensor
MOST_STEPS = 1000  # of sampling
MOST_TENSORS = 10_000  # of a network; the largest published ones have below 2,000


class Trace(list[tuple[Tensor, ...]]):
    """The states of a sampler, which calls it after each step."""

    def __call__(self, _: int, *state: Tensor) -> None:
        """Keep it."""
        self.append(state)


def class_name(config: Config) -> str:
    """The class a configuration names: ``class_`` (golden folders), ``name`` (TRELLIS) or
    ``_class_name`` (diffusers); "" when none.
    """
    return str(config.get("class_") or config.get("name") or config.get("_class_name") or "")


def arguments(config: Config) -> dict[str, Any]:
    """The constructor's arguments: ``args`` where there is one, otherwise the whole (flat)
    configuration without private keys.
    """
    found = config["args"] if isinstance(config.get("args"), Mapping) else config
    return {key: value for key, value in found.items() if not key.startswith("_")}


def configured(
    kind: Callable[..., C],
    given: Config,
    names: Mapping[str, str],
    **defaults: Any,
) -> C:
    """A configuration of ours: each field by its published name where that is given, else by
    ``defaults``, else as ``kind`` has it.
    """
    told = {ours: given[theirs] for ours, theirs in names.items() if theirs in given}
    return kind(**{**defaults, **told})


def builder(
    network: Callable[[C], Network], config_of: Callable[[Config], C]
) -> Callable[[Config], Network]:
    """The function from a published configuration to its network."""
    return lambda config: network(config_of(config))


def own_shapes(network: nn.Module) -> Shapes:
    """Keys and shapes of a network whose state dict already has the published names."""
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def load_strictly(
    network: nn.Module,
    tensors: Tensors,
    dtype: torch.dtype = torch.float32,
    trunk: tuple[str, ...] = (),
) -> None:
    """Load tensors under their published names into a network with the same names; nothing missing,
    nothing extra, equal shapes.

    The network may be on the meta device. Tensors become float32, the matrices of ``trunk`` become
    ``dtype`` (see ``precision``). Raises CheckpointError.
    """
    check_shapes(own_shapes(network), tensors)
    kinds = precision(network, dtype, trunk)
    converted = {
        key: tensor.to(kinds[key]) for key, tensor in tensors.items() if tensor.is_floating_point()
    }
    fill(network, {**tensors, **converted})


def fill(network: nn.Module, state: Tensors) -> None:
    """Give a network, which may be on the meta device, these very tensors; ready to be used."""
    network.load_state_dict(state, strict=True, assign=True)
    network.requires_grad_(False).eval()


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """CheckpointError when the body builds a network of more than MOST_TENSORS tensors: a damaged
    configuration may ask for millions of blocks, which take hours even without memory.
    """
    counted = itertools.count(1)

    def count(*registered: object) -> None:
        if next(counted) > MOST_TENSORS:
            raise CheckpointError(
                f"the configuration asks for more than {MOST_TENSORS} tensors; it is damaged"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def check_sizes(config: Config, tensors: Tensors) -> None:
    """CheckpointError for numbers of a configuration that ask for far more memory than the tensors
    take. Seeds may be any number.
    """
    largest = max((side for tensor in tensors.values() for side in tensor.shape), default=1)
    for name, number in _whole_numbers(config, ""):
        if "seed" not in name and number > SIZES_PER_SIDE * largest:
            raise CheckpointError(
                f"the configuration has {name} = {_shortened(number)}, but no side of a tensor is "
                f"longer than {largest}; it is damaged"
            )


def check_steps(config: Config) -> None:
    """CheckpointError when a configuration asks for more sampling steps than anybody takes."""
    for name, number in _whole_numbers(config, ""):
        if "steps" in name and number > MOST_STEPS:
            raise CheckpointError(
                f"the configuration has {name} = {_shortened(number)}, more than {MOST_STEPS}; "
                "it is damaged"
            )


def _whole_numbers(value: Any, name: str) -> Iterator[tuple[str, int]]:
    """All whole numbers in a configuration, each with the name that it stands under."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _whole_numbers(inner, str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _whole_numbers(inner, name)
    elif isinstance(value, int):
        yield name, value


def _shortened(number: int) -> str:
    """A number as far as a line has room for it."""
    return f"{number}" if number < 10**20 else "a number of more than 20 digits"


def check_shapes(expected: Shapes, tensors: Tensors) -> None:
    """Raise CheckpointError, naming up to three of each, when keys are missing or extra or shapes
    differ.
    """
    found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    missing = sorted(set(expected) - set(found))
    extra = sorted(set(found) - set(expected))
    wrong = []
    for key, shape in expected.items():
        if found.get(key, shape) != tuple(shape):
            wrong.append(f"{key} is {list(found[key])}, expected {list(shape)}")
    kinds = {
        "missing": missing,
        "extra": extra,
        "of another shape": wrong,
    }
    said = [_some(names, what) for what, names in kinds.items() if names]
    if said:
        raise CheckpointError(
            f"the weights do not fit the configuration: {'; '.join(said)}; pass the files of one "
            "and the same model"
        )


def _some(names: list[str], what: str) -> str:
    more = ", ..." if len(names) > 3 else ""
    first = ", ".join(names[:3])
    return f"{len(names)} {what} ({first}{more})"


def precision(
    network: nn.Module, dtype: torch.dtype, trunk: tuple[str, ...]
) -> dict[str, torch.dtype]:
    """Precision of every tensor: ``dtype`` for weight and bias of the linear and convolution layers
    inside the submodules ``trunk``, float32 for all else (norms, per-head gammas, embeddings, first
    and last layers), as the published files store them.
    """
    kinds = dict.fromkeys(network.state_dict(), torch.float32)
    for name, module in network.named_modules():
        inside = any(name == part or name.startswith(f"{part}.") for part in trunk)
        if inside and _is_matrix(module):
            leaves = (f"{name}.weight", f"{name}.bias")
            kinds |= {key: dtype for key in leaves if key in kinds}
    return kinds


def _is_matrix(module: nn.Module) -> bool:
    known = isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d))
    return known or getattr(module, "matrix_layer", False)


@contextlib.contextmanager
def recorded(
    outputs: Mapping[str, nn.Module], inputs: Mapping[str, nn.Module] | None = None
) -> Iterator[Outputs]:
    """What submodules give, and what they are given first, by name, while this lasts."""
    found: Outputs = {}

    def keep(name: str, given: bool) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            value = arguments if given else output
            found[name] = value if isinstance(value, Tensor) else value[0]

        return hook

    with contextlib.ExitStack() as hooks:
        for name, module in outputs.items():
            hooks.callback(module.register_forward_hook(keep(name, given=False)).remove)
        for name, module in (inputs or {}).items():
            hooks.callback(module.register_forward_hook(keep(name, given=True)).remove)
        yield found


@dataclass(frozen=True)
class PublishedModel(Generic[Network]):
    """One published network (or procedure) and how it is checked. The package's docstring says how
    the fields are used.
    """

    name: str  # of maquette, for example "trellis-structure-flow"
    classes: tuple[str, ...]  # class names in config.json that mean this model
    run: Run
    inputs: frozenset[str]  # names in io.npz that are given, not compared
    build: Callable[[Config], Network] | None = None
    load: Callable[[Network, Tensors, torch.dtype], None] = load_strictly
    shapes: Callable[[Network], Shapes] = own_shapes  # of its file; works on the meta device
    # key -> larger tolerance, documented where it is set
    tolerances: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)  # key -> why it is not compared
    # what else a configuration must have, where several models share a class
    when: Callable[[Config], bool] | None = None

    def answers(self, config: Config) -> bool:
        """Whether a configuration is of this model; the first of MODELS that answers is taken."""
        return class_name(config) in self.classes and (self.when is None or self.when(config))

    def network(self, config: Config) -> Network:
        """The network of a configuration, without weights; ValueError for a procedure."""
        return present(self.build, f"network of {self.name}")(config)

    def tolerance(self, key: str) -> float:
        """Largest absolute error allowed for an entry of io.npz."""
        return self.tolerances.get(key, TOLERANCE)
