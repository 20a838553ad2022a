"""Configuration: one YAML file for what is connected and how; secrets from the environment or a folder of files.

Read here only. Files of secrets may be exchanged while processes run (bus.rotation); the environment cannot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bus.errors import ConfigError
from bus.model import Json, Kind

_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}")


RESERVED = frozenset({"bus", "foreign", "number", "inn", "money", "uip", "match"})
"""Names of no system: what keys of our own begin with, and the source of our own events."""


class Mode(StrEnum):
    """How far one direction of a route is switched on."""

    OFF = "off"
    CREATE_ONLY = "create-only"
    UPDATE_ONLY = "update-only"
    FULL = "full"

    @property
    def creates(self) -> bool:
        """New records may come of it."""
        return self in (Mode.CREATE_ONLY, Mode.FULL)

    @property
    def updates(self) -> bool:
        """Existing records may be changed by it."""
        return self in (Mode.UPDATE_ONLY, Mode.FULL)


class Part(BaseModel):
    """A section of the YAML file: unknown keys are refused, so that a typo is told."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Route(Part):
    """Both directions of one kind of entity between the bus and one system."""

    inward: Mode = Field(default=Mode.OFF, alias="in")
    outward: Mode = Field(default=Mode.OFF, alias="out")

    @field_validator("inward", "outward", mode="before")
    @classmethod
    def _yaml_off(cls, value: Json) -> Json:
        """YAML reads a bare `off` as false."""
        return Mode.OFF if value is False else value


class Rate(Part):
    """A system's request limit. Bitrix24 cloud: 2 a second, burst 50; a box has none (per_second: 0)."""

    per_second: Annotated[float, Field(ge=0)] = 2.0
    burst: Annotated[int, Field(ge=1)] = 50
    payments_reserve: Annotated[int, Field(ge=0)] = 5
    """Requests of the burst that only the payments lane may use: to read and write two batches of payments at once.

    More come at the portal's own pace, before bulk. The reserve costs bulk so many requests once after a pause (2.5 s
    of the cloud's pace), and nothing while it waits for the bucket.
    """
    operating_limit_s: Annotated[float, Field(gt=0)] = 480.0
    """Seconds in ten minutes after which the system blocks a method."""


class System(Part):
    """One installation that is kept in step."""

    kind: Literal["bitrix24", "bitrix_cms", "onec", "commerceml", "bank", "events"]
    """onec: a 1C base, by its OData interface. commerceml: a 1C that exchanges with us as with a site, and calls us.
    bank: statements, from a watched folder or the command line. events: signs what it posts to /events."""
    url: SecretStr | None = None
    """Incoming webhook, "https://host/rest/1/code/": the whole of it is a secret. Of a 1C base the address of its OData
    interface, "https://host/base/odata/standard.odata/"."""
    user: str | None = None
    """Login that we use at a 1C base, or that 1C uses at our exchange."""
    password: SecretStr | None = None
    folder: Path | None = None
    """Folder that is watched for a bank's statements; what was read is moved to `done` in it, the rest to `bad`."""
    accounts: list[str] = []
    """The company's own bank accounts, 20 digits: what goes to them is received, what leaves them is paid."""
    zone: str = "Europe/Moscow"
    """Zone of times that this system writes without one (1C, statements)."""
    concurrency: Annotated[int, Field(ge=1, le=3)] = 2
    """Requests to a 1C base at once, over all our processes: each holds a licence there while it lasts."""
    application_token: SecretStr | list[SecretStr] | None = None
    """Token that the portal's outgoing webhook must carry; a list of two while one is exchanged for another."""
    member_id: str | None = None
    """If given, the outgoing webhook must come from this portal."""
    keys: list[SecretStr] = []
    """Standard Webhooks keys (whsec_...) that events from here may be signed with; two while one is being rotated."""
    integration_user: str | None = None
    """Id of the user whose webhook the bus writes with; shown as "the bus" in histories."""
    rate: Rate = Rate(per_second=0)
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0
    late_s: Annotated[float, Field(ge=0)] = 60.0
    """How long a request may go on there after we gave up waiting for its answer; Bitrix24 cloud ends it after 60 s.

    What it was to create is looked for, and created again only after that time.
    """
    settings: dict[str, str] = {}
    """Adapter's own: deal category, site id, person type, pay system for payments that come from elsewhere."""
    routes: dict[Kind, Route] = {}

    @property
    def tokens(self) -> list[SecretStr]:
        """Those that count at present."""
        given = self.application_token
        found = given if isinstance(given, list) else [given] if given is not None else []
        return [token for token in found if token.get_secret_value()]

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("zone: write a name of the tz database, e.g. Europe/Moscow") from None
        return value

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> System:
        if self.kind in ("bitrix24", "bitrix_cms") and not _says(self.url):
            raise ValueError("url is missing: the incoming webhook of the system")
        if self.kind == "onec" and not _says(self.url):
            raise ValueError("url is missing: the address of the base's OData interface")
        if self.kind in ("onec", "commerceml") and not (self.user and _says(self.password)):
            raise ValueError("user and password are missing: the login of this 1C, made for the bus alone")
        if self.kind == "commerceml" and self.routes.get("counterparty", Route()).outward is not Mode.OFF:
            raise ValueError("routes.counterparty.out: CommerceML tells counterparties inside orders only; write off")
        written = [kind for kind, route in self.routes.items() if route.outward is not Mode.OFF]
        if self.kind in ("bank", "events") and written:
            raise ValueError(f"routes.{written[0]}.out: nothing is written to a system of kind {self.kind}; write off")
        if self.kind == "bitrix24" and not self.tokens:
            raise ValueError("application_token is missing: copy it from the portal's outgoing webhook")
        return self

    @property
    def actor(self) -> str | None:
        """Who our own saves are by there, as events name their actor; None where nobody said."""
        return f"user:{self.integration_user}" if self.integration_user else None


def _says(secret: SecretStr | None) -> bool:
    """An empty one is as good as none: anybody could show it."""
    return secret is not None and bool(secret.get_secret_value())


class Asking(Part):
    """Tasks for people who are to decide a conflict, in the system that they work in."""

    system: str
    """A Bitrix24 of `systems`."""
    responsible: Annotated[str, Field(pattern=r"^[0-9]+$")]
    """Id of the user who gets what nobody else is in charge of."""
    escalate_to: Annotated[str | None, Field(pattern=r"^[0-9]+$")] = None
    """Id of the user who gets what is not decided when most of its time is over; nobody else by default."""
    escalate_share: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """The share of a conflict's time after which it is pressing."""


class Limits(Part):
    """Numbers an operator may turn. Times in seconds."""

    body_bytes: Annotated[int, Field(ge=1)] = 1_000_000
    lease_s: Annotated[int, Field(ge=1)] = 120
    """A claim older than this is given to someone else; longer than any one call to a system."""
    max_attempts: Annotated[int, Field(ge=1)] = 12
    backoff_base_s: Annotated[float, Field(gt=0)] = 2.0
    backoff_cap_s: Annotated[float, Field(gt=0)] = 900.0
    wait_deadline_s: Annotated[int, Field(ge=1)] = 86_400
    """How long an event waits for what it refers to before a person is asked."""
    sweep_s: Annotated[float, Field(gt=0)] = 5.0
    republish_after_s: Annotated[float, Field(gt=0)] = 15.0
    """A pending event nobody has taken for so long is published again."""
    reconcile_s: Annotated[float, Field(gt=0)] = 300.0
    poll_s: Annotated[float, Field(gt=0)] = 60.0
    """How often a 1C base, which tells of no change by itself, is asked what changed."""
    reconcile_overlap_s: Annotated[int, Field(ge=0)] = 120
    loop_writes: Annotated[int, Field(ge=1)] = 20
    loop_window_s: Annotated[int, Field(ge=1)] = 600
    """More writes than this to one record in the window park it and raise an alert."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    breaker_open_s: Annotated[float, Field(gt=0)] = 2.0
    """A system that failed so often is tried again after a second, then after twice as long each time, up to this."""
    stop_probe_s: Annotated[float, Field(gt=0)] = 300.0
    """How often a system that refuses us as a whole is tried."""
    exchange_file_bytes: Annotated[int, Field(ge=1)] = 2_000_000_000
    """A file that 1C sends us as to a site, all its chunks together."""
    exchange_keep_days: Annotated[int, Field(ge=1)] = 30
    """Files of exchanges are kept this long, to be read again when a mapping was mended."""
    exchange_quiet_s: Annotated[float, Field(gt=0)] = 120.0
    """A file that no chunk was added to for so long, and that nobody asked to import, is imported by itself."""
    folders_s: Annotated[float, Field(gt=0)] = 10.0
    """How often watched folders are looked into; a file is taken when it has not changed between two looks."""
    directory_ttl_s: Annotated[float, Field(gt=0)] = 3600.0
    """How long a system's directories (users, units, organisations, currencies) are believed; beat refreshes them
    twice in that time."""
    worker_memory_mb: Annotated[int, Field(ge=0)] = 512
    """A worker that holds more ends after its task, to be started again by whoever runs it; 0: never."""
    keep_days: Annotated[int, Field(ge=1)] = 90
    """Finished events and history are kept this long; dead letters and conflicts until someone ended them."""


class Config(Part):
    """The YAML file."""

    systems: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")], System]
    numbering: str | None = None
    """System whose order numbers are meant when an event gives a bare number; the only shop by default."""
    mappings: Path | None = None
    """Folder with your tables.yaml and rules.yaml, laid over the shipped ones key by key."""
    limits: Limits = Limits()
    tasks: Asking | None = None
    """Who is asked by a task to decide a conflict; nobody by default: conflicts wait in `bus conflicts`."""

    @model_validator(mode="after")
    def _numbering_is_known(self) -> Config:
        if not self.systems:
            raise ValueError("systems: name at least one")
        if reserved := RESERVED & set(self.systems):
            raise ValueError(f"systems: {min(reserved)!r} is a name the bus needs for itself; choose another")
        if self.numbering is not None and self.numbering not in self.systems:
            raise ValueError(f"numbering: there is no system {self.numbering!r}")
        for name, system in self.systems.items():
            base = system.settings.get("base") if system.kind == "commerceml" else None
            if base is not None and (base not in self.systems or self.systems[base].kind != "onec"):
                raise ValueError(f"systems.{name}.settings.base: there is no onec system {base!r}")
        portals = [name for name, system in self.systems.items() if system.kind == "bitrix24"]
        if self.tasks is not None and self.tasks.system not in portals:
            raise ValueError(f"tasks.system: there is no bitrix24 system {self.tasks.system!r}")
        return self

    @property
    def numbering_system(self) -> str:
        """The system whose numbering a bare order number belongs to."""
        shops = [name for name, system in self.systems.items() if system.kind == "bitrix_cms"]
        return self.numbering or (shops[0] if shops else next(iter(self.systems)))

    @property
    def called(self) -> list[str]:
        """Systems that we call, each with a lane; the others call us, or send files."""
        return [name for name, system in self.systems.items() if system.url is not None]

    @property
    def books(self) -> list[str]:
        """Systems that keep the books: all money stands in them once."""
        return [name for name, system in self.systems.items() if system.kind in ("onec", "commerceml")]

    def route(self, system: str, kind: Kind) -> Route:
        """How `kind` travels to and from `system`; off both ways where nothing is said."""
        known = self.systems.get(system)
        return known.routes.get(kind, Route()) if known else Route()


class Settings(BaseSettings):
    """The environment: BUS_DATABASE_URL, BUS_BROKER_URL, ...; each may stand in a file of its name in BUS_SECRETS."""

    model_config = SettingsConfigDict(env_prefix="BUS_", extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("")
    broker_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    config: Path = Path("bus.yaml")
    secrets: Path | None = None
    """Folder with a file for each secret, named as ${NAME} is; looked at every few seconds while a process runs."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    flower_password: SecretStr | None = None
    egress: str = "default"
    """Name of the address this process goes out by: processes behind one address share the budget of a portal."""

    @model_validator(mode="before")
    @classmethod
    def _from_files(cls, given: Json) -> Json:
        """What stands in a file."""
        folder = given.get("secrets") if isinstance(given, dict) else None
        if not folder:
            return given
        files = {name: _file(Path(folder) / f"BUS_{name.upper()}") for name in cls.model_fields}
        found = {name: text for name, text in files.items() if text is not None}
        if twice := sorted(found.keys() & given.keys()):
            raise ValueError(f"BUS_{twice[0].upper()} is in the environment and in BUS_SECRETS; keep it in one")
        return given | found

    def environment(self) -> dict[str, str]:
        """What ${NAME} in the configuration file comes from."""
        return dict(os.environ) | ({"BUS_SECRETS": str(self.secrets)} if self.secrets else {})

    def database(self) -> str:
        """The ledger's URL. Raises ConfigError when it is not set."""
        return _needed("BUS_DATABASE_URL", self.database_url, "postgresql://user:password@host:5432/bus")

    def redis(self) -> str:
        """Where request budgets and circuit breakers are shared: the broker, unless that is no single Redis."""
        return self.redis_url.get_secret_value() or self.broker()

    def broker(self) -> str:
        """The broker's URL. Raises ConfigError when it is not set."""
        return _needed("BUS_BROKER_URL", self.broker_url, "redis://:password@host:6379/0")


def _needed(name: str, value: SecretStr, example: str) -> str:
    if not value.get_secret_value():
        raise ConfigError(f"{name} is not set; it looks like {example}")
    return value.get_secret_value()


class Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which plain YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Raises MarkedYAMLError, which tells where."""
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands here twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def load(path: Path, environment: dict[str, str] | None = None) -> Config:
    """Read the YAML file; ${NAME} and ${NAME:-default} come from the environment, or from files in its BUS_SECRETS.

    Raises ConfigError in plain words.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; start from deploy/bus.example.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({type(error).__name__})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{where}: not YAML: {getattr(error, 'problem', None) or type(error).__name__}"
        ) from None
    return from_document(document, dict(os.environ) if environment is None else environment, name=str(path))


def from_document(document: Json, environment: Mapping[str, str], *, name: str = "config") -> Config:
    """A Config from parsed YAML. Raises ConfigError that lists every complaint with its key."""
    try:
        return Config.model_validate(_filled(document, _finder(environment), ""))
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise ConfigError("\n".join([f"{name}:", *lines])) from None


SECRET_BYTES = 65_536
"""A file with more is none of ours."""

_Find = Callable[[str], str | None]


def _finder(environment: Mapping[str, str]) -> _Find:
    """Where ${NAME} comes from. Raises ConfigError for one that stands in two places: which of them is in force?"""
    folder = environment.get("BUS_SECRETS")

    def find(name: str) -> str | None:
        try:
            text = _file(Path(folder) / name) if folder else None
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if text is not None and environment.get(name):
            raise ConfigError(f"{name} is in the environment and in BUS_SECRETS; keep it in one")
        return environment.get(name) if text is None else text

    return find


def _file(path: Path) -> str | None:
    """What a file of one secret says, without the end of its line; None without the file. Raises ValueError."""
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        if len(raw) > SECRET_BYTES:
            raise ValueError(f"{path}: too large for a secret")
        return raw.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not text in UTF-8") from None


def _filled(node: Json, find: _Find, key: str) -> Json:
    if isinstance(node, dict):
        return {name: _filled(item, find, f"{key}.{name}".lstrip(".")) for name, item in node.items()}
    if isinstance(node, list):
        return [_filled(item, find, f"{key}.{at}") for at, item in enumerate(node)]
    if not isinstance(node, str):
        return node

    def fill(found: re.Match[str]) -> str:
        value = find(found[1])
        if not value and found[2] is not None:
            value = found[2]
        if value is None:
            raise ConfigError(f"{key}: the environment has no {found[1]}, nor has BUS_SECRETS a file of that name")
        return value

    return _VARIABLE.sub(fill, node)
