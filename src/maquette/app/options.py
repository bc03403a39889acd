"""From what a client asks for to what a worker is told, against what the workers can do."""

from __future__ import annotations

import secrets

from pydantic import ValidationError

from maquette.app.schemas import JobOptions, RegenerateRequest, bounds
from maquette.errors import InputError
from maquette.options import EMBEDDED, SceneOptions
from maquette.types import JsonObject

OFFERED = ("seed", "samples", "steps", "guidance", "fov", "fit")  # what the page lets people choose
REUSED = (
    "method",
    "model",
    "steps",
    "guidance",
    "fit",
    "texture",
    "triangles",
)  # of a scene, to make an object of it anew


def offered(capabilities: JsonObject) -> JsonObject:
    """What the page lets people choose, as it is declared, with the defaults of the default
    method.
    """
    shown = {name: {"default": getattr(SceneOptions, name), **bounds(name)} for name in OFFERED}
    for method in capabilities["methods"]:
        if method["default"]:
            for name in ("steps", "guidance"):
                shown[name]["default"] = method[name]
    return shown


def resolved(
    options: JobOptions, capabilities: JsonObject, before: JsonObject | None = None
) -> JsonObject:
    """Complete options; those that were left out come from ``before`` or are defaults. InputError
    for what cannot be done here.
    """
    if before is None:
        chosen = options.model_dump()
    else:
        chosen = {**before, **options.model_dump(exclude_unset=True)}
    model = _model(chosen["model"], capabilities)
    seeing = capabilities.get("perceptions", [EMBEDDED])
    if chosen["perception"] not in seeing:
        raise InputError(
            f"{chosen['perception']!r} is not here to see depth; choose one of {', '.join(seeing)}"
        )
    devices = ("auto", *capabilities["devices"])
    if chosen["device"] not in devices:
        raise InputError(
            f"there is no device {chosen['device']!r} here; choose {', '.join(devices)}"
        )
    return {
        **chosen,
        "model": model["name"],
        "method": _method(chosen["method"], model),
    }


def _model(name: str | None, capabilities: JsonObject) -> JsonObject:
    """The model of a name, or the default one."""
    models = {model["name"]: model for model in capabilities["models"]}
    if not models:
        raise InputError(
            "no weights were found; reinstall maquette, or start the app with --weights FOLDER"
        )
    if name is None:
        defaults = [model for model in models.values() if model["default"]]
        return next(iter(defaults or models.values()))
    if name not in models:
        raise InputError(f"the model {name!r} is not here; choose one of {', '.join(models)}")
    return models[name]


def _method(name: str | None, model: JsonObject) -> str:
    """The method of a name, or the model's default one."""
    able = model["methods"]
    if name is None:
        return "iscene" if "iscene" in able else able[0]
    if name not in able:
        raise InputError(
            f"the method {name!r} cannot be used with the model {model['name']!r}; "
            f"choose one of {', '.join(able)}"
        )
    return name


def regeneration(
    request: RegenerateRequest, capabilities: JsonObject, made_with: JsonObject
) -> JsonObject:
    """Complete options for one object anew: as the scene was made, with another seed."""
    models = [model["name"] for model in capabilities["models"]]
    asked = request.model_dump(exclude={"label"}, exclude_none=True)
    new = {"seed": secrets.randbelow(2**32), **asked}
    known = {key: made_with[key] for key in REUSED if key in made_with}
    if known.get("model") not in models:
        known.pop("model", None)
    try:
        return resolved(JobOptions(**{**known, **new}), capabilities)
    except (ValidationError, InputError):  # a scene from elsewhere was made with what is not here
        return resolved(JobOptions(**new), capabilities)
