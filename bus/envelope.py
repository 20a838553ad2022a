"""The event envelope: CloudEvents 1.0 with our extension attributes, and ids that follow from what happened."""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bus.errors import BadInput
from bus.model import MODELS, Json, Kind, in_range

#: type of event -> (channel it travels on, kind of entity it speaks of)
_TYPES: dict[str, tuple[str, Kind]] = {
    "order": ("orders", "order"),
    "deal": ("deals", "order"),
    "payment": ("payments", "payment"),
    "counterparty": ("counterparties", "counterparty"),
}
#: record types that are not named like their event type: a shop's payment is `payment/12`, a deal is `deal/759`.
EVENT_TYPES: tuple[str, ...] = tuple(f"{head}.{verb}" for head in _TYPES for verb in ("changed", "deleted"))

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""An event from further in the future would win every comparison by time until then: a clock is wrong."""

_NAMESPACE = uuid.UUID("5f2d8a2e-5b0e-4d6b-9d53-1a1f6c6f0b52")
_VERSION = re.compile(r"^[0-9]+")
_DIGITS = 18
"""What the ledger's bigint holds; a longer figure is no counter."""

Name = Annotated[str, Field(min_length=1, max_length=255)]
SystemName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


def _countable(version: str) -> str:
    """Refuse a version whose integer the ledger cannot compare."""
    if version_order(version) is None and _VERSION.match(version):
        raise ValueError(f"its integer has more than {_DIGITS} digits")
    return version


class Event(BaseModel):
    """A normalized change in a CloudEvents 1.0 envelope.

    `source` is the system's name, `subject` is "<record type>/<external id>", `time` is when it happened at the source,
    `sourceversion` starts with an integer that grows with every change of the record there, where the source has one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    specversion: Literal["1.0"] = "1.0"
    id: Name = ""
    source: SystemName
    type: Name
    subject: Annotated[str, Field(pattern=r"^[a-z][a-z_]*/[^/\s][^\x00-\x1f]*$", max_length=255)]
    time: Annotated[AwareDatetime, AfterValidator(in_range)] = Field(default_factory=lambda: datetime.now(UTC))
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: Name | None = None
    data: dict[str, Json] | None = None
    partitionkey: Name | None = None
    correlationid: Name | None = None
    causationid: Name | None = None
    sourceversion: Annotated[Name, AfterValidator(_countable)] | None = None
    actor: Name | None = None
    traceparent: Name | None = None
    tracestate: Name | None = None

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in EVENT_TYPES:
            raise ValueError(f"unknown event type; known: {', '.join(EVENT_TYPES)}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: Json) -> Json:
        if isinstance(values, dict) and not values.get("id"):
            values = {**values, "id": derived_id(values)}
        return values

    @model_validator(mode="after")
    def _data_fits(self) -> Event:
        if self.data is None and self.type.endswith(".changed"):
            raise ValueError("data is missing: a *.changed event says what is so now")
        for name in type(self).model_fields:
            if has_nul(getattr(self, name)):
                raise PydanticCustomError(
                    "nul", "{name}: holds the character U+0000, which cannot be stored", {"name": name}
                )
        if self.data is not None:
            try:
                MODELS[self.kind].model_validate(self.data)
            except ValidationError as error:
                complaint = bad_input(error)
                raise PydanticCustomError("data", "data.{complaint}", {"complaint": str(complaint)}) from None
        return self

    @property
    def channel(self) -> str:
        """Name of the channel (Celery queue) the event travels on."""
        return _TYPES[self.type.partition(".")[0]][0]

    @property
    def kind(self) -> Kind:
        """Kind of entity the event speaks of: a deal is how the CRM sees an order."""
        return _TYPES[self.type.partition(".")[0]][1]

    @property
    def record_type(self) -> str:
        """Type of the record at the source: the part of the subject before the slash."""
        return self.subject.partition("/")[0]

    @property
    def external_id(self) -> str:
        """Id of the record at the source."""
        return self.subject.partition("/")[2]

    @property
    def deleted(self) -> bool:
        """The record is gone at the source."""
        return self.type.endswith(".deleted")


def derived_id(values: dict[str, Json]) -> str:
    """An id that the same change always gets: from source, type, subject and source version (or time), and content.

    The content is part of it because Bitrix24 dates changes to the second: two changes in one second share a version.
    """
    content = hashlib.sha256(repr(_canonical(values.get("data"))).encode()).hexdigest()[:16]
    version = str(values.get("sourceversion") or values.get("time") or "")
    if not version:  # nothing tells a repeat from a return to an earlier state; merging a repeat changes nothing
        return str(uuid.uuid4())
    name = "\n".join([str(values.get("source")), str(values.get("type")), str(values.get("subject")), version, content])
    return str(uuid.uuid5(_NAMESPACE, name))


def _canonical(value: Json) -> Json:
    if isinstance(value, dict):
        return sorted((key, _canonical(item)) for key, item in value.items())
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def has_nul(value: Json) -> bool:
    """Does a text in it hold U+0000? PostgreSQL can store none."""
    if isinstance(value, dict):
        return any("\x00" in str(key) or has_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(has_nul(item) for item in value)
    return isinstance(value, str) and "\x00" in value


def version_order(sourceversion: str | None) -> int | None:
    """The growing integer that a source version starts with ("17", "1736405807#a1"), or None where it has none."""
    found = _VERSION.match(sourceversion or "")
    return int(found[0]) if found and len(found[0]) <= _DIGITS else None


def may_go_back(sourceversion: str | None) -> bool:
    """Is it the version of a part of the record ("1736405807#502"), instead of which an older one may come to count?"""
    return "#" in (sourceversion or "")


def parse(document: Json) -> Event:
    """One event from JSON. Raises BadInput that names the field."""
    try:
        return Event.model_validate(document)
    except ValidationError as error:
        raise bad_input(error) from None


def timely(event: Event, now: datetime) -> Event:
    """The event, for a door. Raises BadInput for a time that its clock cannot mean."""
    if not EARLIEST <= event.time <= now + AHEAD:
        raise BadInput("time: lies before 1970 or more than a day ahead; look at the clock", field="time")
    return event


def bad_input(error: ValidationError) -> BadInput:
    """The first complaint of pydantic, in our words: which field, what is wrong; never a value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    field = ".".join(str(part) for part in first["loc"])
    if not field:  # a complaint about the whole, our own: "data.total.amount: ..." names its field itself
        field = message.partition(":")[0] if message.startswith("data.") else "event"
    return BadInput(message if message.startswith(field) else f"{field}: {message}", field=field)
