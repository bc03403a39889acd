"""Methods by name: those of the package, those of other packages, and those of a file.

In the flow: ``--method NAME`` -> the Method that ``pipeline.generate`` runs. Other packages offer
theirs as entry points of the group ``maquette.methods`` (name -> Method); a method of a file is
called ``FILE.py:NAME``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from maquette.errors import InputError
from maquette.methods.base import EmbeddedMethod, Method
from maquette.methods.coherent import COHERENT
from maquette.methods.comboverse.method import COMBOVERSE
from maquette.methods.independent import INDEPENDENT
from maquette.methods.iscene import ISCENE
from maquette.methods.midi import MIDI
from maquette.methods.midi3d import MIDI_3D
from maquette.methods.published import PublishedMethod
from maquette.methods.trellis_iscene import TRELLIS_ISCENE
from maquette.methods.trellis_large import TRELLIS_LARGE
from maquette.methods.triposg import TRIPOSG

METHODS: dict[str, EmbeddedMethod] = {
    method.name: method for method in (ISCENE, MIDI, COHERENT, COMBOVERSE, INDEPENDENT)
}
PUBLISHED: dict[str, PublishedMethod] = {
    method.name: method for method in (TRELLIS_ISCENE, MIDI_3D, TRELLIS_LARGE, TRIPOSG)
}
GROUP = "maquette.methods"  # of entry points
IN_A_FILE = "or FILE.py:NAME"


def find_method(wanted: str) -> Method:
    """The method of a name or of ``FILE.py:NAME``, whose file is run. InputError when there is
    none.
    """
    path, _, name = wanted.rpartition(":")
    return method_of_file(Path(path), name) if path.endswith(".py") else installed_method(wanted)


def installed_method(wanted: str) -> Method:
    """The method of a name in this package or an installed one; never of a file, so that names from
    documents of others run nothing. InputError when there is none.
    """
    if wanted in METHODS:
        return METHODS[wanted]
    others = {point.name: point for point in entry_points(group=GROUP)}
    if wanted not in others:
        known = ", ".join((*METHODS, *others))
        raise InputError(f"unknown method {wanted!r}; choose from {known}, {IN_A_FILE}")
    try:
        found = others[wanted].load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the method {wanted!r} of {others[wanted].value} cannot be loaded ({error}); "
            "repair or remove the package that offers it"
        ) from error
    return _checked(found, wanted)


def method_of_file(path: Path, name: str) -> Method:
    """The method ``name`` of a Python file, which is run once. InputError when it is not there."""
    found = getattr(_module(path.resolve()), name, None)
    if found is None:
        raise InputError(f"{path} has no {name!r}; give FILE.py:NAME with the name of a method")
    return _checked(found, f"{path}:{name}")


def _module(path: Path) -> ModuleType:
    """A file as a module, kept under its path as imports are."""
    key = f"{GROUP}:{path}"
    if key in sys.modules:
        return sys.modules[key]
    spec = importlib.util.spec_from_file_location(key, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"no such file: {path}; give a method as FILE.py:NAME")
    module = importlib.util.module_from_spec(spec)
    try:
        with contextlib.ExitStack() as undo:
            sys.modules[key] = module  # dataclasses look up their module there
            undo.callback(sys.modules.pop, key)
            spec.loader.exec_module(module)
            undo.pop_all()
    except (SyntaxError, ImportError) as error:
        raise InputError(f"{path} cannot be run ({error}); repair it") from error
    return module


def _checked(found: object, where: str) -> Method:
    if not isinstance(found, Method):
        raise InputError(
            f"{where} is a {type(found).__name__}, expected a method such as an EmbeddedMethod; "
            "see docs/adding_a_method.md"
        )
    return found
