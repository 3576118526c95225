"""run.json as the report reads it: the request, cells, methods and figures."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from megbench.core.clip import several_faces
from megbench.core.errors import BenchError, clause
from megbench.core.figures import Figure


class Facts(BaseModel):
    """The base class of all parts of run.json; parts are frozen, and unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class ProtocolFacts(Facts):
    """The protocol that listed the cells."""

    name: str
    version: str
    description: str = ""


class CellFacts(Facts):
    """One driver on one template, as in run.json. Frame numbers count from 0, or are None if not coded.

    foil: another driver that moves another part of the face, or "" if the protocol names none.
    faces: the widths in pixels of the faces in the driver's original first frame, largest first.
    face: the choice among these faces.
    medium: how the driver's file type affects motion, or "" for ordinary file types.
    """

    name: str
    driver: str
    template: str
    database: str
    emotion: str
    n_frames: int
    subject: str = ""
    fps: float | None = None
    onset_frame: int | None = None
    apex_frame: int | None = None
    offset_frame: int | None = None
    action_units: str | None = None
    rendered: bool = False
    colour: str = "rgb"
    has_truth: bool = False
    foil: str = ""
    face: str = ""
    faces: tuple[int, ...] = ()
    medium: str = ""
    # Intensities of the driver's AUs at every frame, if the clip was rendered from them.
    known_aus: dict[str, tuple[float, ...]] = {}

    @property
    def several_faces(self) -> str:
        """A note on a driver that shows several faces, "" for other drivers."""
        return several_faces(self.faces, self.face)


class MethodFacts(Facts):
    """One row of the run: a method or a control.

    label: what the user typed.
    purpose: the purpose of one of the suite's own rows, or "" for a requested method.
    marks: notes for readers of the row's scores, each a word for the tables and a sentence.
    seconds_per_frame: the mean over finished cells, or None if not measured.
    peak_mb: the peak of main memory over all cells, or None if not measured.
    unused: files of the row that match no cell.
    seen_drivers: the drivers on which its model was trained.
    seen_people: the drivers whose person its model knows from other clips.
    people_known: all people in the data with which its model was trained or selected, according to its card.
    """

    label: str
    name: str
    variant: str = ""
    is_control: bool = False
    purpose: str = ""
    identity: dict[str, Any] = {}
    marks: dict[str, str] = {}
    seconds_per_frame: float | None = None
    peak_mb: float | None = None
    unused: tuple[str, ...] = ()
    seen_drivers: tuple[str, ...] = ()
    seen_people: tuple[str, ...] = ()
    people_known: tuple[str, ...] = ()


class MetricFacts(Facts):
    """One metric with its figures. description: the first line of its docstring."""

    name: str
    version: str
    description: str = ""
    figures: tuple[Figure, ...] = ()
    recipe: dict[str, Any] = {}


class RunFacts(Facts):
    """The contents of run.json."""

    id: str
    protocol: ProtocolFacts
    cells: tuple[CellFacts, ...]
    methods: tuple[MethodFacts, ...]
    metrics: tuple[MetricFacts, ...]
    finished: bool = True
    request: dict[str, Any] = {}
    provenance: dict[str, Any] = {}


def read_facts(path: Path) -> RunFacts:
    """Read run.json. Raise BenchError naming the first entry that is missing or invalid."""
    try:
        return RunFacts.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}). Give the folder of a run, runs/<id>.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BenchError(
            f"{path} is not valid ({place}: {clause(first['msg'])}). Rerun the command that created this run."
        ) from None
