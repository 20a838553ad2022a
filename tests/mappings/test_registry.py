from datetime import timedelta

import pytest

from bus.config import from_document
from bus.errors import ConfigError
from bus.merge import Manual, Newest, Owner, Priority, StateMachine
from bus.ports import Mappings, Translator
from mappings.registry import TRANSLATORS, Registry


def _is(mappings: Mappings) -> Mappings:
    return mappings


def test_it_answers_for_each_kind_of_system(registry):
    assert _is(registry).record_types("bitrix24") == {"order": "deal", "counterparty": "party"}
    assert registry.record_types("bitrix_cms") == {"order": "order", "payment": "payment"}
    assert registry.record_types("events") == {}
    assert {translator.EVENT for translator in TRANSLATORS.values()} == {"deal", "order", "payment", "counterparty"}


@pytest.fixture(scope="module")
def books() -> Registry:
    """A system of each kind, called by its kind."""
    url, login = "https://there.example/rest/1/a/", {"user": "bus", "password": "secret"}
    systems = {
        "bitrix24": {"url": url, "application_token": "t"},
        "bitrix_cms": {"url": url},
        "onec": {"url": url, **login},
        "commerceml": login,
    }
    named = {kind: {"kind": kind, **said} for kind, said in systems.items()}
    return Registry(from_document({"systems": named}, {}))


@pytest.mark.parametrize("key", sorted(TRANSLATORS))
def test_what_is_written_is_carried(books, key):
    translator: Translator = books.translator(*key)
    tables = books.tables(key[0], key[0])
    assert translator.writes(tables) <= translator.carries(tables)


def test_a_record_type_nobody_translates_is_named(registry):
    with pytest.raises(ConfigError, match="bitrix24: no translator for 'lead'; there are: deal"):
        registry.translator("bitrix24", "lead")


@pytest.mark.parametrize(("system", "kind"), [("crm2", "bitrix24"), ("crm", "bitrix_cms")])
def test_a_system_that_is_not_configured_so_is_named(registry, system, kind):
    with pytest.raises(ConfigError, match=system):
        registry.tables(system, kind)


def test_links_name_the_configured_systems(registry):
    shop = registry.tables("shop", "bitrix_cms")
    assert [shop.name("links", key) for key in ("self", "shop", "crm", "category")] == ["shop", "shop", "crm", None]


def test_a_users_line_is_laid_over_the_shipped_ones_key_by_key(overlay):
    overlay.write("bitrix24: {codes: {deal_stage: {UC_1: shipped, APOLOGY: ~}}, names: {fields: {order_id: UF_CRM_9}}}")
    crm = overlay.registry().tables("crm", "bitrix24")
    assert crm.canonical("deal_stage", "UC_1", field="status") == "shipped"
    assert crm.codes("deal_stage", "cancelled", field="status") == ["LOSE"]
    assert crm.name("fields", "order_id") == "UF_CRM_9"
    assert crm.name("fields", "number") == "UF_CRM_ORDER_NUMBER"


def test_one_system_of_several_may_differ(overlay):
    crm = overlay.write("systems: {crm: {codes: {deal_stage: {NEW: accepted}}}}").registry().tables("crm", "bitrix24")
    assert crm.canonical("deal_stage", "NEW", field="status") == "accepted"


def test_codes_stay_text_be_they_no_or_010(overlay):
    shop = overlay.write("bitrix_cms: {codes: {order_status: {NO: paid, 010: new, Y: new}}}").registry()
    mapped = shop.tables("shop", "bitrix_cms").mapped("order_status")
    assert (mapped["NO"], mapped["010"], mapped["Y"]) == ("paid", "new", "new")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "bitrix24: {codes: {deal_stages: {NEW: new}}}",
            "bitrix24.codes.deal_stages: no such table; there are: deal_stage",
        ),
        (
            "bitrix24: {names: {fields: {order: UF_1}}}",
            "bitrix24.names.fields.order: no such name; there are: .*order_id",
        ),
        ("bitrix24: {names: {field: {order_id: UF_1}}}", "bitrix24.names.field: no such table; there are: fields"),
        ("bitrix24: {kodes: {}}", "bitrix24.kodes: "),
        ("bitrix24: {codes: {deal_stage: NEW}}", "bitrix24.codes.deal_stage: "),
        ("amocrm: {}", "amocrm: write one of bitrix24, bitrix_cms, onec, commerceml, bank, events, systems"),
        ("systems: {crm2: {}}", "systems.crm2: no such system in bus.yaml; there are: shop, crm, onec"),
        ("systems: {crm: {codes: {order_status: {N: new}}}}", "systems.crm.codes.order_status: no such table"),
        ("bitrix24: {prefer: {deal_stage: {paid: UC_9}}}", "prefer.deal_stage.paid: add 'UC_9': paid"),
        ("bitrix24: {prefer: {stage: {paid: UC_9}}}", "bitrix24.prefer.stage: no such table"),
        ("bitrix24: {codes: {deal_stage: {NEW: new, NEW: paid}}}", "line 1: 'NEW' stands here twice"),
        ("bitrix24: {codes: {", "line 1: "),
        ("- bitrix24", "must be a mapping"),
    ],
)
def test_a_mistake_in_tables_names_the_file_the_key_and_what_to_write(overlay, text, complaint):
    overlay.write(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        overlay.registry()
    assert str(overlay.folder / "tables.yaml") in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ("# наши\nbitrix24: {}".encode("cp1251"), "line 1: not text in UTF-8"),
        (b"bitrix24: \x00", "not YAML: special characters are not allowed"),
    ],
)
def test_tables_that_are_no_text_are_told_by_their_file(overlay, raw, complaint):
    overlay.write("")
    (overlay.folder / "tables.yaml").write_bytes(raw)
    with pytest.raises(ConfigError, match=complaint) as caught:
        overlay.registry()
    assert str(overlay.folder / "tables.yaml") in str(caught.value)


def test_every_mistake_is_told_at_once(overlay):
    overlay.write("bitrix24: {kodes: {}}\namocrm: {}").write("order: {status: {policy: newst}}", "rules.yaml")
    with pytest.raises(ConfigError) as caught:
        overlay.registry()
    assert len(str(caught.value).splitlines()) == 3


def test_a_folder_that_is_not_there_is_told(overlay):
    config = overlay.config().model_copy(update={"mappings": overlay.folder / "none"})
    with pytest.raises(ConfigError, match="is not a folder"):
        Registry(config)


def test_a_funnel_that_is_no_number_is_told(overlay):
    with pytest.raises(ConfigError, match=r"systems.crm.settings.category"):
        overlay.registry(category="Опт")


def test_the_shipped_rules_call_systems_by_their_names(registry):
    rules = registry.rules("order")
    assert rules["number"] == Owner(("shop",))
    assert rules["comment"] == Newest(("crm", "shop", "onec"))
    assert isinstance(rules["status"], StateMachine)
    assert rules["status"].reopen == {"crm"}


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        ("{policy: owner, system: bitrix24}", Owner(("crm",))),
        ("{policy: owner, system: onec}", Owner(("onec",))),
        ("{policy: newest}", Newest(())),
        ("{policy: priority, order: [events, shop, bitrix_cms]}", Priority(("onec", "shop"))),
        (
            "{policy: manual, sla_hours: 4, default: {policy: owner, system: crm}}",
            Manual(timedelta(hours=4), Owner(("crm",))),
        ),
    ],
)
def test_a_users_rule_replaces_the_fields_shipped_one(overlay, spec, policy):
    rules = overlay.write(f"order: {{comment: {spec}}}", "rules.yaml").registry().rules("order")
    assert rules["comment"] == policy
    assert rules["number"] == Owner(("shop",))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("order: {comment: {policy: newst}}", "order.comment: .*'newest'.*see the examples"),
        ("order: {comment: newest}", "order.comment: "),
        ("order: {comment: {policy: newest, prio: [shop]}}", "order.comment: prio: "),
        (
            "order: {comment: {policy: owner, system: shp}}",
            "order.comment: there is no system 'shp'; write one of shop, crm",
        ),
        ("order: {comment: {policy: manual, sla_hours: 0, default: {policy: newest}}}", "order.comment: sla_hours: "),
        ("order: {comment: {policy: manual, sla_hours: 1, default: {policy: manual}}}", "order.comment: default: "),
        ("ordr: {comment: {policy: newest}}", "ordr: write fields with policies under order, payment, counterparty"),
    ],
)
def test_a_mistake_in_rules_names_the_file_the_key_and_what_to_write(overlay, text, complaint):
    overlay.write(text, "rules.yaml")
    with pytest.raises(ConfigError, match=complaint) as caught:
        overlay.registry()
    assert str(overlay.folder / "rules.yaml") in str(caught.value)


def test_of_several_shops_the_one_that_numbers_orders_stands_first(overlay):
    one = overlay.config()
    two = {"retail": one.systems["shop"], "opt": one.systems["shop"], "crm": one.systems["crm"]}
    config = one.model_copy(update={"systems": two, "numbering": "opt"})
    rules = Registry(config).rules("order")
    assert rules["number"] == Owner(("opt", "retail"))
    assert rules["comment"] == Newest(("crm", "opt", "retail"))


def test_a_part_that_nobody_plays_is_skipped(overlay):
    config = overlay.config()
    alone = config.model_copy(update={"systems": {name: one for name, one in config.systems.items() if name != "onec"}})
    assert Registry(alone).rules("order")["comment"] == Newest(("crm", "shop"))
    overlay.write("order: {comment: {policy: owner, system: onec}}", "rules.yaml")
    assert Registry(alone).rules("order")["comment"] == Owner(())
