from pathlib import Path

import pytest
from pydantic import SecretStr

from bus.config import Config, Limits, Mode, Settings, from_document, load
from bus.errors import ConfigError

CRM = {"kind": "bitrix24", "url": "https://crm.example/rest/1/secret/", "application_token": "token"}
SHOP = {"kind": "bitrix_cms", "url": "https://shop.example/rest/1/secret/"}
UT = {"kind": "commerceml", "user": "1c", "password": "secret"}


def config(**changes: object) -> Config:
    return from_document({"systems": {"crm": CRM, "shop": SHOP}} | changes, {})


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (None, "file"),
        ({}, "systems"),
        ({"systems": {}}, "systems"),
        ({"systems": {"CRM": CRM}}, "systems.CRM"),
        ({"systems": {"crm": {"kind": "sap"}}}, "systems.crm.kind"),
        ({"systems": {"crm": {"kind": "bitrix24", "application_token": "t"}}}, "systems.crm"),
        ({"systems": {"crm": {"kind": "bitrix24", "url": "u"}}}, "application_token"),
        ({"systems": {"crm": CRM | {"colour": "red"}}}, "systems.crm.colour"),
        ({"systems": {"crm": CRM | {"timeout_s": 0}}}, "systems.crm.timeout_s"),
        ({"systems": {"crm": CRM | {"rate": {"per_second": -1}}}}, "systems.crm.rate.per_second"),
        ({"systems": {"crm": CRM | {"routes": {"order": {"in": "on"}}}}}, "systems.crm.routes.order.in"),
        ({"systems": {"crm": CRM | {"routes": {"orders": {}}}}}, "systems.crm.routes.orders"),
        ({"systems": {"bank": {"kind": "bank", "routes": {"payment": {"out": "full"}}}}}, "routes.payment.out"),
        ({"systems": {"site": {"kind": "events", "routes": {"order": {"out": "full"}}}}}, "routes.order.out"),
        ({"systems": {"crm": CRM}, "numbering": "shop"}, "numbering"),
        ({"systems": {"crm": CRM, "ut": UT | {"settings": {"base": "crm"}}}}, "systems.ut.settings.base"),
        ({"systems": {"crm": CRM}, "tasks": {"system": "shop", "responsible": "7"}}, "tasks.system"),
        ({"systems": {"crm": CRM}, "tasks": {"system": "crm", "responsible": "anna"}}, "tasks.responsible"),
        ({"systems": {"crm": CRM}, "limits": {"lease": 5}}, "limits.lease"),
        ({"systems": {"crm": CRM}, "limits": {"lease_s": "soon"}}, "limits.lease_s"),
        ({"systems": {"crm": CRM}, "sistems": {}}, "sistems"),
    ],
)
def test_a_complaint_names_the_key(document: object, key: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        from_document(document, {}, name="bus.yaml")
    assert key in str(wrong.value)
    assert "secret" not in str(wrong.value)


@pytest.mark.parametrize("name", ["bus", "foreign"])
def test_names_that_mean_the_bus_itself_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        from_document({"systems": {name: {"kind": "events"}}}, {})


def test_every_complaint_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as wrong:
        from_document({"systems": {"crm": {"kind": "sap"}, "shop": {"kind": "sap"}}}, {})
    assert "systems.crm.kind" in str(wrong.value)
    assert "systems.shop.kind" in str(wrong.value)


@pytest.mark.parametrize(
    ("text", "environment", "filled"),
    [
        ("${TOKEN}", {"TOKEN": "abc"}, "abc"),
        ("a-${TOKEN}-${OTHER}", {"TOKEN": "1", "OTHER": "2"}, "a-1-2"),
        ("${TOKEN:-none}", {}, "none"),
        ("${TOKEN:-none}", {"TOKEN": "abc"}, "abc"),
        ("${TOKEN:-}", {}, ""),
        ("$TOKEN", {"TOKEN": "abc"}, "$TOKEN"),
        ("${token}", {"token": "abc"}, "${token}"),
    ],
)
def test_variables_are_filled_from_the_environment(text: str, environment: dict, filled: str) -> None:
    found = from_document({"systems": {"crm": CRM | {"member_id": text}}}, environment)
    assert found.systems["crm"].member_id == filled


@pytest.mark.parametrize(
    ("system", "missing"),
    [
        (CRM | {"url": "${SECRET}"}, "url is missing"),
        (CRM | {"application_token": "${SECRET}"}, "application_token is missing"),
        (CRM | {"application_token": ["${SECRET}", "${NEXT:-}"]}, "application_token is missing"),
        (SHOP | {"url": "${SECRET}"}, "url is missing"),
        ({"kind": "commerceml", "user": "exchange", "password": "${SECRET}"}, "user and password are missing"),
        ({"kind": "commerceml", "user": "${SECRET}", "password": "x"}, "user and password are missing"),
        ({"kind": "onec", "url": "${SECRET}", "user": "bus", "password": "x"}, "url is missing"),
    ],
)
def test_a_secret_that_says_nothing_is_missing(system: dict, missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        from_document({"systems": {"one": system}}, {"SECRET": ""})


def test_a_variable_that_is_not_there_is_named_with_the_key_that_wants_it() -> None:
    with pytest.raises(ConfigError, match=r"systems\.crm\.keys\.1: the environment has no MISSING"):
        from_document({"systems": {"crm": CRM | {"keys": ["x", "${MISSING}"]}}}, {})


def test_numbers_may_come_from_the_environment() -> None:
    found = from_document({"systems": {"crm": CRM}, "limits": {"lease_s": "${LEASE:-60}"}}, {})
    assert found.limits.lease_s == 60


def test_the_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "bus.yaml"
    file.write_text(
        "systems: {bank: {kind: events, keys: ['${KEY}'], routes: {payment: {in: full}}}}", encoding="utf-8"
    )
    found = load(file, {"KEY": "whsec_x"})
    assert found.route("bank", "payment").inward is Mode.FULL
    assert found.route("bank", "payment").outward is Mode.OFF
    assert found.route("bank", "order").inward is Mode.OFF
    assert found.route("nobody", "order").inward is Mode.OFF


@pytest.mark.parametrize(
    ("text", "says"), [("systems: [", "line"), ("systems: {a: *b}", "not YAML"), ("", "file"), ("- 1", "file")]
)
def test_what_is_no_configuration_is_told_in_plain_words(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bus.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        load(file, {})


@pytest.mark.parametrize("name", sorted(Limits.model_fields))
def test_no_limit_can_be_what_means_nothing(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"limits\.{name}: Input should be greater than"):
        config(limits={name: -1})


def test_records_are_not_kept_for_no_time_at_all() -> None:
    with pytest.raises(ConfigError, match=r"limits\.keep_days"):
        config(limits={"keep_days": 0})


@pytest.mark.parametrize(
    "text", ["systems: {}\nnumbering: a\nsystems: {}", "systems:\n  a: {}\n  b:\n    x: 1\n    x: 2"]
)
def test_a_key_that_stands_twice_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bus.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line [35]: not YAML: '(systems|x)' stands here twice"):
        load(file, {})


def test_a_section_may_be_merged_from_another(tmp_path: Path) -> None:
    file = tmp_path / "bus.yaml"
    file.write_text(
        "systems:\n  a: &events {kind: events, late_s: 1}\n  b:\n    <<: *events\n    late_s: 2\n", encoding="utf-8"
    )
    assert [system.late_s for system in load(file, {}).systems.values()] == [1, 2]


def test_a_file_that_is_not_there_says_where_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bus\.example\.yaml"):
        load(tmp_path / "none.yaml", {})


def test_a_bare_order_number_is_the_shops() -> None:
    assert config().numbering_system == "shop"
    assert config(numbering="crm").numbering_system == "crm"


@pytest.mark.parametrize(
    ("mode", "creates", "updates"),
    [("off", False, False), ("create-only", True, False), ("update-only", False, True), ("full", True, True)],
)
def test_what_a_mode_lets_happen(mode: str, creates: bool, updates: bool) -> None:
    assert (Mode(mode).creates, Mode(mode).updates) == (creates, updates)


def test_a_secret_is_never_shown() -> None:
    assert "secret" not in repr(config())
    assert "hidden" not in repr(Settings(database_url=SecretStr("postgresql://u:hidden@h/b")))


@pytest.mark.parametrize(("ask", "name"), [("database", "BUS_DATABASE_URL"), ("broker", "BUS_BROKER_URL")])
def test_a_missing_setting_is_named(ask: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is not set"):
        getattr(Settings(database_url=SecretStr(""), broker_url=SecretStr("")), ask)()


def test_the_environment_is_read_by_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_DATABASE_URL", "postgresql://here")
    monkeypatch.setenv("BUS_LOG_LEVEL", "debug")
    assert Settings().database() == "postgresql://here"
    assert Settings().log_level == "debug"
