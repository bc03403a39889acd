"""From what a client asks for to what a worker is told, against what the workers can do."""

from __future__ import annotations

import secrets
from typing import Any

from pydantic import ValidationError

from maquette.app.schemas import Options, RegenerateRequest
from maquette.errors import InputError

JsonObject = dict[str, Any]


def resolved(
    options: Options, capabilities: JsonObject, before: JsonObject | None = None
) -> JsonObject:
    """Complete options; those that were left out come from ``before`` or are defaults. InputError
    for what cannot be done here.
    """
    chosen = (
        options.model_dump()
        if before is None
        else {**before, **options.model_dump(exclude_unset=True)}
    )
    models = {model["name"]: model for model in capabilities["models"]}
    if not models:
        raise InputError(
            "no weights were found; reinstall maquette, or start the app with --weights FOLDER"
        )
    name = chosen["model"] or next(
        name for name, model in models.items() if model["default"] or len(models) == 1
    )
    if name not in models:
        raise InputError(f"the model {name!r} is not here; choose one of {', '.join(models)}")
    able = models[name]["methods"]
    method = chosen["method"] or ("iscene" if "iscene" in able else able[0])
    if method not in able:
        raise InputError(
            f"the method {method!r} cannot be used with the model {name!r}; choose one of {', '.join(able)}"
        )
    if chosen["device"] not in ("auto", *capabilities["devices"]):
        raise InputError(
            f"there is no device {chosen['device']!r} here; choose auto, {', '.join(capabilities['devices'])}"
        )
    return {**chosen, "model": name, "method": method}


def regeneration(
    request: RegenerateRequest, capabilities: JsonObject, made_with: JsonObject
) -> JsonObject:
    """Complete options for one object anew: as the scene was made, with another seed."""
    names = {model["name"] for model in capabilities["models"]}
    known = {
        key: made_with[key] for key in ("method", "steps", "guidance", "fit") if key in made_with
    }
    if made_with.get("model") in names:
        known["model"] = made_with["model"]
    asked = {
        key: value
        for key, value in request.model_dump(exclude={"label"}).items()
        if value is not None
    }
    new = {"seed": secrets.randbelow(2**32), **asked}
    try:
        return resolved(Options(**{**known, **new}), capabilities)
    except (ValidationError, InputError):  # a scene from elsewhere was made with what is not here
        return resolved(Options(**new), capabilities)
