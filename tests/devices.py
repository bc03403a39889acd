"""An accelerator that does not exist, for tests on machines without one.

Tensors on it hold their values in ordinary memory but say that they are elsewhere, and everything
that a real accelerator refuses fails here too: operations on tensors of two places, ``.numpy()``,
random numbers from a generator of another place and, on demand, float64 and named operations.
Whatever makes the processor wait for the accelerator is counted.

    with install("mps", float64=False, refuse=("grid_sampler_3d",)) as device:
        net.to(device.name)(picture.to(device.name))
    print(device.synchronisations)

C++ knows these tensors as ``meta`` tensors, the only other place that every build can
differentiate on; in Python ``tensor.device`` gives the name that was asked for.
"""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
PLACE = "meta"  # where C++ thinks the tensors are
# Operations that may take tensors of two places.
SEQUENCES = (tuple, list)
MOVES = {aten.copy_.default, aten._to_copy.default, aten.set_.source_Tensor}
# Operations with indices, which may be in ordinary memory; the numbers of the arguments that not.
INDEXED = {
    aten.index.Tensor: (0,),
    aten._unsafe_index.Tensor: (0,),
    aten.index_put.default: (0, 2),
    aten.index_put_.default: (0, 2),
    aten._index_put_impl_.default: (0, 2),
}
# Operations that cannot go on before the accelerator has told the size or value of their result.
WAITING = {
    "aten::_local_scalar_dense",
    "aten::equal",
    "aten::nonzero",
    "aten::_unique2",
    "aten::unique_consecutive",
    "aten::unique_dim",
    "aten::masked_select",
    "aten::repeat_interleave.Tensor",
}


def where() -> str:
    """File and line of the package that is being executed, as ``train/loop.py:12``."""
    for frame in reversed(traceback.extract_stack()):
        if "/maquette/" in frame.filename:
            return f"{frame.filename.split('/maquette/')[-1]}:{frame.lineno}"
    return "?"


class DeviceTensor(torch.Tensor):
    """A tensor that says it is on the imitated device; ``values`` has what is in it."""

    values: Tensor
    mode: Mode

    @staticmethod
    def __new__(cls, values: Tensor, mode: Mode) -> DeviceTensor:
        """Wrap ordinary values."""
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=PLACE,
            requires_grad=False,
        )
        made.values = values
        made.mode = mode
        return made

    def __repr__(self, **options: Any) -> str:
        return f"DeviceTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """Operations outside of ``with mode`` are those of the mode of the first tensor."""
        tensors = _tensors((*args, *(kwargs or {}).values()))
        return next(leaf for leaf in tensors if isinstance(leaf, cls)).mode.__torch_dispatch__(
            func, types, args, kwargs
        )

    @property
    def device(self) -> torch.device:
        """The place that was asked for."""
        return self.mode.device

    @property
    def is_cuda(self) -> bool:
        """Whether that place is CUDA."""
        return self.mode.device.type == "cuda"

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_without_lists(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_without_lists(index), value)

    def item(self) -> Any:
        """The only value; the processor waits for it."""
        self.mode.waited("item")
        return self.values.item()

    def tolist(self) -> Any:
        """All values; the processor waits for them."""
        self.mode.waited("tolist")
        return self.values.tolist()

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __index__(self) -> int:
        return int(self.item())

    def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
        """The values in ordinary memory; the processor waits for them."""
        return self.to("cpu")

    def numpy(self, *args: Any, **kwargs: Any) -> None:
        """Refused, as on every accelerator."""
        raise TypeError(
            f"can't convert {self.mode.device} device type tensor to numpy, at {where()}"
        )

    __array__ = numpy

    def new_tensor(self, data: Any, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
        """``torch.tensor`` on this device."""
        return torch.tensor(data, dtype=dtype or self.dtype, **options).to(self.device)


class Mode(TorchDispatchMode):
    """What happens to every operation while the device is installed."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here; keeping the compiler off costs more than many operations."""
        return False

    def __init__(self, name: str, refuse: Sequence[str] = (), float64: bool = True):
        super().__init__()
        self.name = name
        self.device = torch.device(name, 0)
        self.refuse = tuple(refuse)
        self.float64 = float64
        self.synchronisations: Counter[tuple[str, str]] = Counter()  # (what, where) -> times
        self.refused: Counter[tuple[str, str]] = Counter()

    @property
    def waits(self) -> int:
        """How often the processor has waited for the device."""
        return sum(self.synchronisations.values())

    def waited(self, what: str) -> None:
        """Count a synchronisation."""
        self.synchronisations[what, where()] += 1

    def is_here(self, device: Any) -> bool:
        """Whether a place is this device."""
        return torch.device(device).type in (self.device.type, PLACE)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Do an operation with the values, or refuse it."""
        kwargs = dict(kwargs or {})
        tensors = _tensors((*args, *kwargs.values()))
        inputs = [leaf for leaf in tensors if isinstance(leaf, DeviceTensor)]
        target = kwargs.get("device")
        leaving = target is not None and not self.is_here(target)
        if not inputs and (target is None or leaving):
            return func(*args, **kwargs)
        self._refuse(func)
        if 0 < len(inputs) < len(tensors):
            self._refuse_mixtures(func, args, tensors)
        self._refuse_generator(func, kwargs.get("generator"))
        if _waits(func, args) or (leaving and func is aten._to_copy.default):
            self.waited("to cpu" if leaving else func.name())
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        if "pin_memory" in kwargs:
            kwargs["pin_memory"] = False
        options = {key: _each(_values, value) for key, value in kwargs.items()}
        found = func(*_each(_values, args), **options)
        if leaving:
            return found
        if _writes_first(func) and isinstance(found, Tensor):
            return args[0]
        return _each(functools.partial(self._placed, func), found)

    def _placed(self, func: Any, leaf: Any) -> Any:
        """A result as a tensor of this device."""
        if not isinstance(leaf, Tensor) or isinstance(leaf, DeviceTensor):
            return leaf
        if leaf.dtype == torch.float64 and not self.float64:
            raise TypeError(
                f"Cannot convert a {self.name.upper()} Tensor to float64 dtype as the framework "
                f"doesn't support float64: {func.name()}, at {where()}"
            )
        return DeviceTensor(leaf, self)

    def _refuse(self, func: Any) -> None:
        if not self.refuse:
            return
        name = func.name()
        if any(part in name for part in self.refuse):
            self.refused[name, where()] += 1
            raise NotImplementedError(f"{name} is not there on {self.device}, at {where()}")

    def _refuse_mixtures(self, func: Any, args: Sequence[Any], tensors: list[Tensor]) -> None:
        """Tensors in ordinary memory may take part as single numbers and as indices only."""
        if func in MOVES:
            return
        if func in INDEXED:
            tensors = _tensors([args[number] for number in INDEXED[func]])
        if any(not isinstance(leaf, DeviceTensor) and leaf.dim() for leaf in tensors):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{self.device} and cpu: {func.name()}, at {where()}"
            )

    def _refuse_generator(self, func: Any, generator: torch.Generator | None) -> None:
        if generator is not None and not self.is_here(generator.device):
            raise RuntimeError(
                f"Expected a '{self.name}' device type for generator but found "
                f"'{generator.device}': {func.name()}, at {where()}"
            )


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    """Those in nested sequences."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, SEQUENCES):
            found += _tensors(value)
    return found


def _each(change: Callable[[Any], Any], values: Any) -> Any:
    """Nested sequences with their leaves changed."""
    if isinstance(values, SEQUENCES):
        return type(values)([_each(change, value) for value in values])
    return change(values)


def _without_lists(index: Any) -> Any:
    """An index whose lists are tensors of the processor: C++ would make them on ``PLACE``, where
    they have no values.
    """
    parts = index if isinstance(index, tuple) else (index,)
    made = tuple(_make_tensor(part) if isinstance(part, list) else part for part in parts)
    return made if isinstance(index, tuple) else made[0]


def _values(leaf: Any) -> Any:
    return leaf.values if isinstance(leaf, DeviceTensor) else leaf


@functools.cache
def _writes_first(func: Any) -> bool:
    """Whether an operation changes its first argument and returns it."""
    arguments = func._schema.arguments
    if not arguments or not func._schema.returns:
        return False
    alias = arguments[0].alias_info
    return alias is not None and alias.is_write


def _waits(func: Any, args: Sequence[Any]) -> bool:
    """Whether an operation needs a value or a size from the device; a mask as an index does."""
    if func not in INDEXED:
        return func.name() in WAITING
    masks = (torch.bool, torch.uint8)
    return any(isinstance(i, DeviceTensor) and i.dtype in masks for i in args[1])


_make_tensor = torch.tensor
_autocast = torch.autocast
_to = torch.Tensor.to


def _tensor(data: Any, *args: Any, device: Any = None, **options: Any) -> Tensor:
    """``torch.tensor``, which in C++ passes every mode by."""
    made = _make_tensor(data, *args, **options)
    return made if device is None else made.to(device)


def _no_inference_mode(mode: bool = True) -> Any:
    """``torch.inference_mode``, which wrapped tensors do not survive."""
    return torch.no_grad() if mode else contextlib.nullcontext()


@contextlib.contextmanager
def install(name: str, refuse: Sequence[str] = (), float64: bool = True) -> Iterator[Mode]:
    """Pretend that the device ``cuda`` or ``mps`` is there, for as long as the context lasts.

    Operations whose name contains one of ``refuse`` raise NotImplementedError, and without
    ``float64`` such tensors raise TypeError, as on a Mac.
    """

    def to(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        """C++ asks the driver for the number of a device that is given without one."""

        def known(value: Any) -> Any:
            named = isinstance(value, str | torch.device) and torch.device(value).type == name
            return torch.device(PLACE) if named else value

        return _to(tensor, *map(known, args), **{key: known(v) for key, v in options.items()})

    def autocast(device_type: str, *args: Any, **options: Any) -> Any:
        if device_type in (name, PLACE):
            return contextlib.nullcontext()
        return _autocast(device_type, *args, **options)

    cuda = {
        "_lazy_init": lambda: None,
        "is_available": lambda: name == "cuda",
        "device_count": lambda: int(name == "cuda"),
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: None,
        "is_current_stream_capturing": lambda: False,
        "mem_get_info": lambda device=None: (8 << 30, 16 << 30),
        "is_bf16_supported": lambda including_emulation=True: True,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda device=None: None,
        "max_memory_allocated": lambda device=None: 0,
        "memory_reserved": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
    }
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    with contextlib.ExitStack() as stack:
        for key, value in cuda.items():
            stack.enter_context(patch.object(torch.cuda, key, value))
        stack.enter_context(patch.object(torch.backends.mps, "is_available", lambda: name == "mps"))
        stack.enter_context(patch.object(torch.Tensor, "to", to))
        stack.enter_context(patch.object(torch, "tensor", _tensor))
        stack.enter_context(patch.object(torch, "inference_mode", _no_inference_mode))
        stack.enter_context(patch.object(torch, "autocast", autocast))
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        yield stack.enter_context(Mode(name, refuse, float64))
