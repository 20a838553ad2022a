"""`bus erase`: shown first, done by --yes, lifted by --lift; the screen says what is left to others to do."""

from bus.envelope import parse

PERSON = {"name": "Иванова Мария", "phone": "+79123456780", "email": "maria@ivanova.example"}


def bought(wiring, number=1, **customer):
    event = {
        "source": "onec",
        "type": "order.changed",
        "subject": f"order/{number}",
        "time": "2026-10-05T10:00:00Z",
        "data": {"number": f"39{number}", "customer": PERSON | customer},
    }
    wiring.pipeline.process([parse(event)])


def kept(wiring):
    with wiring.ledger.transaction() as connection:
        return [row["fields"] for row in connection.execute("SELECT fields FROM entity ORDER BY id").fetchall()]


def test_it_is_shown_first_and_done_when_it_is_said(bus, wiring):
    bought(wiring)

    shown = bus("erase", "--order", "onec/order/1")
    assert (shown.exit_code, "onec order/1" in shown.stdout) == (0, True)
    assert "nothing was changed: say it again with --yes" in shown.output
    assert kept(wiring)[0]["customer.phone"] == PERSON["phone"]

    done = bus("erase", "--order", "onec/order/1", "--yes", "--actor", "olga")
    assert done.exit_code == 0, done.output
    assert "backups" in done.output
    assert not any(said in done.output for said in PERSON.values())
    assert kept(wiring) == [{"number": "391", "payment_status": "unpaid"}]
    with wiring.ledger.transaction() as connection:
        (action,) = connection.execute("SELECT actor, action, detail FROM operator_action").fetchall()
    assert (action["actor"], action["action"], action["detail"]["orders"]) == ("olga", "erase", 1)


def test_others_who_are_alike_are_named_and_stay(bus, wiring):
    bought(wiring)
    bought(wiring, 2)

    done = bus("erase", "--order", "onec/order/1", "--yes")

    assert "the same phone and e-mail: look, then --order 392" in done.stdout
    assert sum("customer.phone" in fields for fields in kept(wiring)) == 1


def test_it_is_lifted(bus, wiring):
    bought(wiring)
    bus("erase", "--order", "onec/order/1", "--yes")

    lifted = bus("erase", "--lift", "onec/order/1")

    assert (lifted.exit_code, lifted.stdout) == (0, "lifted: 2 records are taken in again, as they are told next\n")
    assert bus("erase", "--lift", "onec/order/1").exit_code == 1


def test_whom_it_means_has_to_be_said(bus):
    for said in ([], ["--order", "1", "--lift", "1"], ["--counterparty", "crm/party/company:77"]):
        assert bus("erase", *said).exit_code != 0
