"""What clients send as JSON, checked field by field; an edit knows which function of the library it
is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from maquette.app.masks import Canvas
from maquette.declare import declarations
from maquette.document import edits
from maquette.document.fields import Fields
from maquette.errors import InputError
from maquette.masks import edit as editing
from maquette.options import EMBEDDED, SceneOptions
from maquette.types import JsonObject

Applied = tuple[JsonObject, list[int]]  # the edited document, and the labels that changed

LAST_VERSION = 2**53  # beyond, JSON numbers are not exact in browsers

# options of a scene that a job may have
JOB_OPTIONS = (
    "method",
    "model",
    "perception",
    "seed",
    "samples",
    "steps",
    "guidance",
    "fit",
    "texture",
    "triangles",
    "fov",
    "device",
)
SERVERS_CHOICE = ("method", "model")  # left out, the server takes what it has
# A server for many allows one request less than the command line does.
TIGHTER = {
    "samples": (1, 8),
    "steps": (1, 100),
    "guidance": (0, 20),
}

Label = Annotated[int, Field(ge=1, le=65535)]
Labels = Annotated[list[Label], Field(min_length=1, max_length=255)]
InstanceLabel = Annotated[int, Field(ge=0, le=65535)]
InstanceLabels = Annotated[list[InstanceLabel], Field(min_length=1, max_length=255)]
Version = Annotated[int, Field(ge=0, le=LAST_VERSION)]
Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Point = tuple[Number, Number]
Points = Annotated[list[Point], Field(min_length=1, max_length=4000)]
Text = Annotated[str, Field(max_length=80)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Words = Annotated[str, Field(max_length=200)]
Selection = Annotated[list[Label | Text], Field(max_length=255)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Steps = Annotated[int, Field(ge=1, le=TIGHTER["steps"][1])]
Guidance = Annotated[float, Field(ge=0, le=TIGHTER["guidance"][1])]
Row = tuple[float, float, float, float]


class Strict(BaseModel):
    """No unknown fields, no NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=Strict)


class ClickPoint(Strict):
    """A point that belongs to the object, or does not."""

    x: Number
    y: Number
    positive: bool = True


class BoxEdit(Strict):
    """The object in a box x0, y0, x1, y1."""

    kind: Literal["box"]
    box: tuple[Number, Number, Number, Number]
    label: Label | None = None
    finder: Text = EMBEDDED

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.cut_out_box(masks, canvas.seen_by(self.finder), self.box, self.label)


class ClicksEdit(Strict):
    """The object that points mean."""

    kind: Literal["clicks"]
    clicks: Annotated[list[ClickPoint], Field(min_length=1, max_length=100)]
    label: Label | None = None
    finder: Text = EMBEDDED

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        points = [(click.x, click.y, click.positive) for click in self.clicks]
        return editing.click_on(masks, canvas.seen_by(self.finder), points, self.label)


class StrokeEdit(Strict):
    """A line with a round brush."""

    kind: Literal["stroke"]
    points: Points
    radius: Annotated[float, Field(gt=0, le=1000)]
    label: Label | None = None
    erase: bool = False

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.paint_stroke(
            masks, canvas.size, self.points, self.radius, self.label, erase=self.erase
        )


class PolygonEdit(Strict):
    """The inside of a closed line."""

    kind: Literal["polygon"]
    points: Points
    label: Label | None = None
    erase: bool = False

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.paint_polygon(masks, canvas.size, self.points, self.label, erase=self.erase)


class MergeEdit(Strict):
    """Several objects into the first."""

    kind: Literal["merge"]
    labels: Labels

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.merge(masks, self.labels)


class SplitEdit(Strict):
    """One object into its parts, or along a line."""

    kind: Literal["split"]
    label: Label
    line: Points | None = None

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.split(masks, self.label, self.line)


class DeleteEdit(Strict):
    """Without these objects."""

    kind: Literal["delete"]
    labels: Labels

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.delete(masks, self.labels)


class RenameEdit(Strict):
    """A name for an object; may be empty."""

    kind: Literal["rename"]
    label: Label
    name: Text

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.rename(masks, self.label, self.name)


class ReorderEdit(Strict):
    """All labels in a new order."""

    kind: Literal["reorder"]
    labels: Labels

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.reorder(masks, self.labels)


class AutoEdit(Strict):
    """Everything that is found, or what words name."""

    kind: Literal["auto"]
    finder: Text = EMBEDDED
    find: Words = ""

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        if self.find.strip():
            return canvas.named(self.find, self.finder)
        return canvas.everything(self.finder)


class ClearEdit(Strict):
    """No objects."""

    kind: Literal["clear"]

    def apply(self, masks: editing.Masks, canvas: Canvas) -> editing.Edited:
        """Edit."""
        return editing.Edited((), ())


MaskEdit = Annotated[
    BoxEdit
    | ClicksEdit
    | StrokeEdit
    | PolygonEdit
    | MergeEdit
    | SplitEdit
    | DeleteEdit
    | RenameEdit
    | ReorderEdit
    | AutoEdit
    | ClearEdit,
    Field(discriminator="kind"),
]


class MaskEditRequest(Strict):
    """An edit of the masks of a version."""

    version: Version
    edit: MaskEdit


class StepRequest(Strict):
    """The version to go back or forth from."""

    version: Version


class NameRequest(Strict):
    """A new name."""

    name: Name


def bounds(name: str) -> JsonObject:
    """The least and the most of a number of a job, of those that there are."""
    declared = declarations(SceneOptions)[name]
    least, most = TIGHTER.get(name, (declared.least, declared.most))
    ends = {"minimum": least, "maximum": most}
    return {end: value for end, value in ends.items() if value is not None}


def _job_option(name: str) -> tuple[Any, Any]:
    """Type and default of a field of JobOptions, from the option's declaration."""
    declared = declarations(SceneOptions)[name]
    within = bounds(name)
    kind: Any = bool
    if declared.kind in (int, float):
        kind = Annotated[declared.kind, Field(ge=within.get("minimum"), le=within.get("maximum"))]
    elif declared.kind is not bool:
        kind = Annotated[str, Field(max_length=200)]
    for word in declared.words:
        kind = kind | Literal[word]
    default = None if name in SERVERS_CHOICE else getattr(SceneOptions, name)
    described = Field(default, description=declared.help)
    return (kind if default is not None else kind | None, described)


_DECLARED: dict[str, Any] = {name: _job_option(name) for name in JOB_OPTIONS}
_Declared: Any = create_model("_Declared", __base__=Strict, **_DECLARED)


class JobOptions(_Declared):
    """How a scene is made; what is left out is the default."""

    room: bool = Field(True, description="around the objects the floor and walls of a given depth")


class JobRequest(Strict):
    """A job for a photo that is here."""

    photo: Text
    only: Selection | None = None
    name: Text = ""
    options: JobOptions = JobOptions()


class RepeatRequest(Strict):
    """Options to change; only those that are given."""

    options: JobOptions = JobOptions()


class RegenerateRequest(Strict):
    """One object of a scene anew; without a seed one is drawn."""

    label: Label
    seed: Seed | None = None
    steps: Steps | None = None
    guidance: Guidance | None = None


class TransformEdit(Strict):
    """Where an object stands; with ``carry`` what stands on it goes along."""

    kind: Literal["transform"]
    label: InstanceLabel
    world_from_instance: tuple[Row, Row, Row, Row]
    carry: bool = False

    def apply(self, document: Fields) -> Applied:
        """Edit."""
        moved = edits.carried(document, self.label) if self.carry else ()
        edited = edits.transform(document, self.label, self.world_from_instance, self.carry)
        return edited, [self.label, *moved]


class StandEdit(Strict):
    """What an object stands on: the ground, or another object that is below it. It moves up or down
    until it touches, and what stands on it goes along.
    """

    kind: Literal["stand"]
    label: InstanceLabel
    on: Literal["ground"] | InstanceLabel

    def apply(self, document: Fields) -> Applied:
        """Edit."""
        moved = [self.label, *edits.carried(document, self.label)]
        return edits.stand(document, self.label, self.on), moved


class NodeEdit(Strict):
    """The name of an object's node."""

    kind: Literal["rename"]
    label: InstanceLabel
    node: Name

    def apply(self, document: Fields) -> Applied:
        """Edit."""
        if not self.node.isprintable():
            raise InputError("the name has characters that cannot be printed; choose another")
        return edits.rename(document, self.label, self.node), [self.label]


class HideEdit(Strict):
    """Hide or show objects."""

    kind: Literal["hide"]
    labels: InstanceLabels
    hidden: bool = True

    def apply(self, document: Fields) -> Applied:
        """Edit."""
        return edits.hide(document, self.labels, self.hidden), self.labels


class RemoveEdit(Strict):
    """Without these objects."""

    kind: Literal["delete"]
    labels: InstanceLabels

    def apply(self, document: Fields) -> Applied:
        """Edit."""
        return edits.delete(document, self.labels), []


class DuplicateEdit(Strict):
    """A copy of an object."""

    kind: Literal["duplicate"]
    label: InstanceLabel
    offset: tuple[Number, Number, Number] = (0.0, 0.0, 0.0)

    def apply(self, document: Fields) -> Applied:
        """Edit."""
        edited, label = edits.duplicate(document, self.label, self.offset)
        return edited, [label]


SceneEdit = Annotated[
    TransformEdit | StandEdit | NodeEdit | HideEdit | RemoveEdit | DuplicateEdit,
    Field(discriminator="kind"),
]


class SceneEditRequest(Strict):
    """An edit of a version of a scene."""

    version: Version
    edit: SceneEdit
