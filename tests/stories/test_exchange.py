"""An unmodified 1C exchanges with the bus as with its site, and everything that can go wrong in a run does."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from bus.embedded import Server
from bus.sandbox.onec import Base, documents
from bus.sandbox.onec.cml_books import SITE_NUMBER, extra
from bus.sandbox.onec.cml_report import Report
from bus.sandbox.onec.exchange import Exchange
from tests.bus.exchanging import LOGIN, Bus, exchanging
from tests.bus.ledger.middle import order, payment, rub, to_order

LINES = [{"product": "f06588ab-7924-11df-b33a-0011955cba6b", "name": "Чайник", "quantity": "1", "price": "1200.00"}]
STATUSES = """systems:
  onec:
    codes:
      order_status: {N: new, P: accepted, F: completed, C: cancelled}
"""
"""What the node in 1C says of statuses, as the administrator of this 1C set it up."""


class Company:
    """A 1C base with its node, and the bus that it takes for a site."""

    def __init__(self, bus: Bus, profile: str) -> None:
        self.bus, self.base = bus, Base()
        self.node = Exchange(bus.urls[0], *LOGIN, profile, self.base, sleep=lambda _: None, seed=1, timeout=20)

    def run(self, fault: str = "", **how: Any) -> Report:
        """A run of the node's job, with one thing that goes wrong in it."""
        if fault:
            self.node.faults.add(fault, **how)
        with self.bus.working():
            report = self.node.run()
        assert not fault or self.node.faults.list()[-1]["fired"] == 1
        return report

    def sell(self, number: str, at: str = "2026-10-05T10:00:00Z", **said: Any) -> None:
        data = {"number": number, "total": rub("1200.00"), "lines": LINES, "status": "new", "comment": "с утра"} | said
        self.bus.take(order(number, at, **data))

    def paid_in_shop(self, number: str) -> None:
        said = {"order": to_order(number), "amount": rub("1200.00"), "status": "paid"}
        self.bus.take(payment(number, source="shop", **said))

    def paid_in_1c(self, number: str) -> None:
        """The accountant enters a bank's receipt."""
        self.base.act(
            {"do": "create_payment", "order": self.order(number)["Ref_Key"], "amount": 1200, "number": number}
        )

    def paid_back_in_1c(self, number: str) -> str:
        """He enters money that goes back to the buyer. The document's key."""
        refund = {"do": "create_refund", "order": self.order(number)["Ref_Key"], "amount": 1200}
        return str(self.base.act(refund)["id"])

    def orders(self) -> list[dict[str, Any]]:
        return self.base.objects.rows(documents.ORDER.name)

    def order(self, number: str) -> dict[str, Any]:
        (found,) = [row for row in self.orders() if extra(row, SITE_NUMBER) == number]
        return found

    def status(self, number: str) -> str:
        return str(self.bus.fields(f"shop/order/{number}")["payment_status"])


@pytest.fixture(scope="module", params=["ut", "unf", "bus"])
def bus(
    request: pytest.FixtureRequest, module_url: str, valkey_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bus]:
    folder = tmp_path_factory.mktemp("mappings")
    (folder / "tables.yaml").write_text(STATUSES, encoding="utf-8")
    settings = {"profile": request.param, "updates": "yes" if request.param != "ut" else "no"}
    with exchanging(module_url, valkey_server.url, settings=settings, mappings=str(folder)) as made:
        yield made


@pytest.fixture
def company(bus: Bus) -> Company:
    bus.forget()
    return Company(bus, bus.wiring.file.systems["onec"].settings["profile"])


def test_runs_with_every_fault_twice_over_make_no_second_order_and_lose_no_change(company: Company) -> None:
    for turn in ("1", "2"):
        first, second = f"10{turn}1", f"10{turn}2"
        company.sell(first)
        company.sell(second)
        lost = company.run("no_success")
        assert sorted(lost.created) == [first, second]
        assert company.run().ok
        company.paid_in_1c(first)
        assert not company.run("cut_chunk").ok
        assert not company.run("stale_session", step="import").ok
        report = company.run()
        assert report.ok, report.failures
        assert company.status(first) == "paid"
        assert company.status(second) == "unpaid"
    told_once(company, ["1011", "1012", "1021", "1022"])


def test_what_the_shop_changes_later_is_there_once(company: Company) -> None:
    company.sell("1001")
    assert company.run().created == ["1001"]
    company.sell("1001", "2026-10-05T11:00:00Z", comment="после обеда")
    company.paid_in_shop("1001")
    for fault in ("no_success", "lost_answer", ""):
        company.run(fault, **({"step": "query"} if fault == "lost_answer" else {}))
    told_once(company, ["1001"])
    if company.node.profile.name != "ut":  # which is told of new orders only
        assert "после обеда" in company.order("1001")["Комментарий"]
        assert len(company.base.objects.rows(documents.CARD_PAYMENT.name)) <= 1


@pytest.mark.parametrize(
    "fault",
    ["parallel", "crash_after_files", "reordered", "huge_batch", "wrong_charset", "lost_answer", "clock_skew"],
)
def test_a_run_that_goes_wrong_is_made_good_by_the_next(company: Company, fault: str) -> None:
    how: dict[str, Any] = {
        "huge_batch": {"times": 3},
        "wrong_charset": {"charset": "windows-1251"},
        "lost_answer": {"step": "import"},
        "clock_skew": {"seconds": 7200},
    }.get(fault, {})
    company.sell("1001")
    company.run()
    company.paid_in_1c("1001")
    company.sell("1002")
    company.run(fault, **how)
    company.run()
    assert company.status("1001") == "paid"
    told_once(company, ["1001", "1002"])


def test_a_counterparty_of_the_books_arrives_with_its_deletion_mark(company: Company) -> None:
    """The module of 1C-Bitrix sends counterparties in a file of their own; the others send them within orders."""
    company.sell("1001")
    company.run()
    act = {"do": "create_counterparty", "name": "Лютик", "inn": "7707083893", "kpp": "773601001"}
    party = company.base.act(act)["id"]
    report = company.run()
    assert report.ok, report.failures
    known = company.bus.rows("SELECT fields ->> 'inn' AS inn FROM entity WHERE kind = 'counterparty'")
    alone = company.node.profile.name == "bus"
    assert ("7707083893" in [row["inn"] for row in known]) is alone
    company.base.act({"do": "delete_counterparty", "id": party})
    assert company.run().ok
    gone = company.bus.rows("SELECT 1 FROM record WHERE type = 'counterparty' AND state = 'deleted'")
    assert len(gone) == (1 if alone else 0)


def test_money_counts_as_given_back_while_its_document_is_posted(company: Company) -> None:
    """UT tells of no refund."""
    company.sell("1001")
    company.run()
    company.paid_in_1c("1001")
    company.run()
    refund = company.paid_back_in_1c("1001")
    company.base.act({"do": "unpost_refund", "id": refund})
    company.run()
    assert company.status("1001") == "paid"
    if company.node.profile.name == "bus":  # an UNF says nothing of a document that it unposts
        told = []
        for do in ("post", "unpost", "post"):
            company.base.act({"do": f"{do}_refund", "id": refund})
            assert company.run().ok
            told.append(company.status("1001"))
            assert (
                company.run().ok
            )  # which takes what the bus has to say of it, and forgets its own changes of that order
        assert told == ["refunded", "paid", "refunded"]
    told_once(company, ["1001"])


@pytest.mark.parametrize("fault", ["", "no_success"])
def test_money_that_1c_was_given_and_tells_of_under_a_key_of_its_own_counts_once(company: Company, fault: str) -> None:
    company.sell("1001")
    company.paid_in_shop("1001")
    company.run(fault)
    for comment in ("в обед", "вечером"):
        company.base.act({"do": "edit_order", "id": company.order("1001")["Ref_Key"], "comment": comment})
        assert company.run().ok
        assert company.run().ok
    assert company.bus.fields("shop/order/1001")["paid_total"]["amount"] == "1200.00"
    assert len(company.bus.rows("SELECT 1 FROM entity WHERE kind = 'payment'")) == 1
    assert len(company.base.objects.rows(documents.CARD_PAYMENT.name)) == (company.node.profile.name != "ut")
    told_once(company, ["1001"])


def test_a_node_that_does_not_wait_for_its_import_is_imported_all_the_same(company: Company) -> None:
    company.node.settings.waits_for_import = False
    company.sell("1001")
    company.run()
    company.paid_in_1c("1001")
    company.run()
    company.bus.rows("UPDATE exchange_file SET updated_at = now() - interval '1 hour' RETURNING id")
    company.bus.wiring.importing.sweep(60)
    company.bus.imported()
    assert company.status("1001") == "paid"


def told_once(company: Company, numbers: list[str]) -> None:
    """Each order is in 1C once and in the ledger once, nothing is due, nobody is asked, and a last run is quiet."""
    in_1c = Counter(extra(row, SITE_NUMBER) for row in company.orders())
    assert in_1c == Counter(numbers)
    living = "kind = 'order' AND merged_into IS NULL"
    known = company.bus.rows(f"SELECT fields ->> 'number' AS n FROM entity WHERE {living}")
    assert sorted(row["n"] for row in known) == sorted(numbers)
    assert [letter["reason"] for letter in company.bus.letters()] == []
    assert company.run().ok
    last = company.run()
    assert (last.created, last.updated, last.skipped, last.sent) == ([], [], [], [])
    assert "onec" not in company.bus.due()
