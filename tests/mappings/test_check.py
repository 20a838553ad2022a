import json
from pathlib import Path

import pytest

from bus.errors import ConfigError
from mappings.check import live, problems

GOLDEN = Path(__file__).parent / "golden"


def test_what_is_shipped_has_no_problem(registry):
    assert problems(registry, registry.config, GOLDEN) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bitrix24: {codes: {deal_stage: {WON: ~}}}", "crm: deal_stage: no code means 'completed' in funnel 0"),
        ("bitrix24: {codes: {deal_stage: {'C1:NEW': new}}}", "crm: deal_stage: no code means 'paid' in funnel 1"),
        (
            "bitrix24: {codes: {deal_stage: {NEW: nwe}}}",
            "crm: deal_stage: 'NEW' means 'nwe', which is no canonical value",
        ),
        ("bitrix24: {codes: {payment_status: {Возврат: ~}}}", "crm: payment_status: no code means 'refunded'"),
        ("bitrix_cms: {codes: {order_status: {F: ~}}}", "shop: order_status: no code means 'completed'"),
        ("systems: {shop: {codes: {order_status: {Z: closed}}}}", "shop: order_status: 'Z' means 'closed'"),
    ],
)
def test_a_gap_in_the_tables_is_named(overlay, text, problem):
    registry = overlay.write(text).registry()
    assert any(line.startswith(problem) for line in problems(registry, registry.config)), problems(
        registry, registry.config
    )


def test_the_funnel_that_new_deals_are_made_in_must_be_mapped(overlay):
    registry = overlay.registry(category="5")
    assert sum("in funnel 5" in line for line in problems(registry, registry.config)) == 6


def test_a_method_may_be_any_word_and_a_cancelled_order_needs_no_status(overlay):
    registry = overlay.write("bitrix_cms: {codes: {payment_method: {2: Картой}}}").registry()
    assert problems(registry, registry.config) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("order: {coment: {policy: newest}}", "rules.yaml: order.coment: no such field to rule; there are: "),
        (
            "order: {paid_total: {policy: newest}}",
            "rules.yaml: order.paid_total: no such field to rule; it is computed",
        ),
        (
            "order: {comment: {policy: state_machine, moves: {new: [paid]}}}",
            "rules.yaml: order.comment: a state machine is for a status",
        ),
        (
            "payment: {status: {policy: state_machine, moves: {pending: [payed], paid: [], refunded: []}}}",
            "rules.yaml: payment.status: moves: 'payed' is no state; there are: pending, paid, refunded",
        ),
        (
            "payment: {status: {policy: state_machine, moves: {pending: [paid], paid: []}, refund: {paid: [unpaid]}}}",
            "rules.yaml: payment.status: refund: 'unpaid' is no state",
        ),
        (
            "payment: {status: {policy: manual, sla_hours: 2, default: {policy: state_machine, moves: {paid: []}}}}",
            "rules.yaml: payment.status: moves: nothing is said of 'pending'",
        ),
    ],
)
def test_a_gap_in_the_rules_is_named(overlay, text, problem):
    registry = overlay.write(text, "rules.yaml").registry()
    assert any(line.startswith(problem) for line in problems(registry, registry.config)), problems(
        registry, registry.config
    )


def test_a_field_without_a_policy_is_named(overlay):
    registry = overlay.registry()
    del registry._rules["order"]["comment"]
    assert problems(registry, registry.config) == [
        "rules.yaml: order.comment: no policy; write one, e.g. {policy: newest, priority: [shop, crm]}"
    ]


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("written", {}, "deal_paid_order.json: written is "),
        ("canonical", {"version": "1"}, "deal_paid_order.json: canonical.version is '1795160407', not '1'"),
        ("raw", {"item": {}}, "deal_paid_order.json: "),
        ("record", "lead", "deal_paid_order.json: bitrix24: no translator for 'lead'"),
        ("system", "crm2", "deal_paid_order.json: there is no system 'crm2'"),
        ("canonikal", {}, "deal_paid_order.json: "),
    ],
)
def test_a_users_golden_sample_that_does_not_hold_is_named(overlay, part, value, problem):
    name = "deal_paid_order.json"
    sample = json.loads((GOLDEN / name).read_text(encoding="utf-8")) | {part: value}
    (overlay.folder / "golden").mkdir()
    (overlay.folder / "golden" / name).write_text(json.dumps(sample), encoding="utf-8")
    registry = overlay.registry()
    found = problems(registry, registry.config)
    assert found
    assert found[0].startswith(problem)


def test_live_names_stages_that_are_not_mapped_and_mapped_ones_the_portal_lacks(registry):
    mapped = registry.tables("crm", "bitrix24").mapped("deal_stage")
    codes = {code: code for code in mapped if code != "APOLOGY"} | {"UC_9": "Ждём поставщика"}
    assert live(registry, "crm", codes, "deal_stage") == [
        "crm: deal_stage: 'UC_9' (Ждём поставщика) is not mapped; records with it wait: add it to tables.yaml",
        "crm: deal_stage: 'APOLOGY' (cancelled) is not in the portal; take it away in tables.yaml with `APOLOGY: ~`",
    ]
    assert live(registry, "crm", dict(mapped), "deal_stage") == []


def test_live_of_a_system_that_is_not_there_is_told(registry):
    with pytest.raises(ConfigError, match="there is no system 'crm2'"):
        live(registry, "crm2", {}, "deal_stage")
