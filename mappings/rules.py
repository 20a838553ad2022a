"""Rules: the policies of rules.yaml, with every system called by its configured name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bus.config import Config
from bus.errors import ConfigError
from bus.merge import Manual, Newest, Owner, Policy, Priority, StateMachine
from bus.model import Kind
from mappings.documents import Document

_PARTS = {"crm": ("bitrix24",), "onec": ("onec", "commerceml"), "bank": ("bank", "events")}
_KINDS = ("bitrix24", "bitrix_cms", "onec", "commerceml", "bank", "events")

Resolve = Callable[[list[str]], tuple[str, ...]]
"""Configured systems for names, parts and kinds, in order, each once. Raises ConfigError for an unknown name."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Owner(_Spec):
    policy: Literal["owner"]
    system: str

    def made(self, resolve: Resolve) -> Policy:
        return Owner(resolve([self.system]))


class _Newest(_Spec):
    policy: Literal["newest"]
    priority: list[str] = []

    def made(self, resolve: Resolve) -> Policy:
        return Newest(resolve(self.priority))


class _Priority(_Spec):
    policy: Literal["priority"]
    order: Annotated[list[str], Field(min_length=1)]

    def made(self, resolve: Resolve) -> Policy:
        return Priority(resolve(self.order))


class _StateMachine(_Spec):
    policy: Literal["state_machine"]
    moves: Annotated[dict[str, list[str]], Field(min_length=1)]
    reopen: list[str] = []
    refund: dict[str, list[str]] = {}
    priority: list[str] = []

    def made(self, resolve: Resolve) -> Policy:
        return StateMachine(
            moves=_sets(self.moves),
            reopen=frozenset(resolve(self.reopen)),
            priority=resolve(self.priority),
            refund_moves=_sets(self.refund),
        )


class _Manual(_Spec):
    policy: Literal["manual"]
    sla_hours: Annotated[float, Field(gt=0)]
    default: _Owner | _Newest | _Priority | _StateMachine = Field(discriminator="policy")

    def made(self, resolve: Resolve) -> Policy:
        return Manual(timedelta(hours=self.sla_hours), self.default.made(resolve))


_Any = Annotated[_Owner | _Newest | _Priority | _StateMachine | _Manual, Field(discriminator="policy")]
_SPEC: TypeAdapter[_Owner | _Newest | _Priority | _StateMachine | _Manual] = TypeAdapter(_Any)


def _sets(moves: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    return {state: frozenset(targets) for state, targets in moves.items()}


def rules(files: list[Document], config: Config) -> tuple[dict[Kind, dict[str, Policy]], list[str]]:
    """Policies by kind and field, a later file's field over an earlier one's; and every complaint, by file and key."""
    found: dict[Kind, dict[str, Policy]] = {kind: {} for kind in get_args(Kind)}
    complaints: list[str] = []
    for document in files:
        for kind, fields in document.content.items():
            if kind not in found or not isinstance(fields, dict):
                complaints.append(f"{document.file}: {kind}: write fields with policies under {', '.join(found)}")
                continue
            for field, spec in fields.items():
                try:
                    found[kind][field] = _policy(spec, config)
                except ConfigError as error:
                    complaints.append(f"{document.file}: {kind}.{field}: {error}")
    return found, complaints


def _policy(spec: Any, config: Config) -> Policy:
    try:
        return _SPEC.validate_python(spec).made(lambda names: _systems(names, config))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(
            str(part) for part in first["loc"] if part not in ("owner", "newest", "state_machine", "manual")
        )
        raise ConfigError(
            f"{where or 'policy'}: {first['msg']}; see the examples at the top of mappings/rules.yaml"
        ) from None


def _systems(names: list[str], config: Config) -> tuple[str, ...]:
    found = [system for name in names for system in _called(name, config)]
    return tuple(dict.fromkeys(found))


def _called(name: str, config: Config) -> list[str]:
    """The systems a name, a part or a kind stands for; a part that nobody plays is no mistake.

    A system that is called like a part stands for itself first, and then for the others that play it.
    """
    own = [name] if name in config.systems else []
    if name == "shop":
        return own + _shops(config)
    kinds = _PARTS.get(name, () if own else (name,))
    if not set(kinds) <= set(_KINDS):
        known = ", ".join([*config.systems, "shop", *_PARTS, *_KINDS])
        raise ConfigError(f"there is no system {name!r}; write one of {known}")
    return own + [system for kind in kinds for system, one in config.systems.items() if one.kind == kind]


def _shops(config: Config) -> list[str]:
    """Shops, the one that numbers orders first; where there is none, the system that numbers them."""
    shops = [system for system, one in config.systems.items() if one.kind == "bitrix_cms"]
    return sorted(shops, key=lambda system: system != config.numbering_system) or [config.numbering_system]
