import csv
from pathlib import Path

import openpyxl
import pytest

from bus.assigning import LOCK
from tests.bus.cli.house import Bus, failing_after
from tests.bus.systems.statements import INN, OURS, document, paid, raw

CONFIG = f"""
systems:
  books: {{kind: events, routes: {{counterparty: {{in: full}}, payment: {{in: full}}, order: {{in: full}}}}}}
  bank: {{kind: bank, accounts: ["{OURS}"], routes: {{payment: {{in: full}}, counterparty: {{in: full}}}}}}
  quiet: {{kind: events}}
numbering: books
"""
HEADER = ["ИНН", "КПП", "Наименование", "Полное наименование", "Телефон", "E-mail", "Расчетный счет", "БИК", "Прочее"]


@pytest.fixture
def bus(bus: Bus) -> Bus:
    bus.configure(CONFIG)
    return bus


def party(number: int) -> list[str]:
    phone, mail = f"8 912 000-{number:02}-00", f"a{number}@b.ru"
    account, bic = "40702810900000000077", "044525225"
    return [f"{7_700_000_000 + number}", "773601001", f"Ромашка {number}", "ООО", phone, mail, account, bic, "x"]


def table(bus: Bus, *rows: list[str], name: str = "list.csv", codec: str = "utf-8-sig", divider: str = ";") -> Path:
    path = bus.folder / name
    with path.open("w", encoding=codec, newline="") as file:
        csv.writer(file, delimiter=divider).writerows([HEADER, *rows])
    return path


def workbook(bus: Bus, *rows: list[object], name: str = "list.xlsx", above: int = 0) -> Path:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Лист")
    for row in [*([["Отчет"]] * above), HEADER, *rows]:
        sheet.append(row)
    book.save(bus.folder / name)
    return bus.folder / name


def events(bus: Bus) -> list[dict]:
    with bus.wiring.ledger.transaction() as connection:
        return connection.execute("SELECT source, subject, data FROM event ORDER BY occurred_at, seq").fetchall()


def rejects(path: Path) -> list[dict[str, str]]:
    with path.with_name(f"{path.name}.rejects.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


# --- counterparties ---


def test_a_hundred_counterparties_go_in_once_however_often_they_are_imported(bus):
    file = table(bus, *map(party, range(100)))
    first, again = (bus("import", "counterparties", file, "--source", "books") for _ in range(2))
    assert (first.exit_code, first.stdout) == (0, "100 rows: 100 new, 0 known, 0 rejected\n")
    assert (again.exit_code, again.stdout) == (0, "100 rows: 0 new, 100 known, 0 rejected\n")
    assert "columns that were not read: Прочее" in first.stderr
    assert events(bus)[7] == {
        "source": "books",
        "subject": "counterparty/inn-7700000007-773601001",
        "data": {
            "inn": "7700000007",
            "kpp": "773601001",
            "name": "Ромашка 7",
            "legal_name": "ООО",
            "phones": ["+79120000700"],
            "emails": ["a7@b.ru"],
            "accounts": [{"account": "40702810900000000077", "bic": "044525225", "bank": None}],
        },
    }


def test_a_csv_as_excel_writes_it_in_russia_is_read(bus):
    result = bus("import", "counterparties", table(bus, party(1), codec="cp1251"), "--source", "books")
    assert result.stdout == "1 rows: 1 new, 0 known, 0 rejected\n"
    assert events(bus)[0]["data"]["name"] == "Ромашка 1"


def test_an_xlsx_is_read_below_its_title_with_its_numbers_as_they_were(bus):
    numbers = [500100732, 73601001, "Лютик", None, 89120000100, None, None, 44525225, None]
    row = [276000010, *numbers[1:]]
    result = bus("import", "counterparties", workbook(bus, row, [None] * 9, above=3), "--source", "books")
    assert result.stdout == "1 rows: 1 new, 0 known, 0 rejected\n"
    assert events(bus)[0]["data"] == {
        "inn": "276000010",
        "kpp": "073601001",
        "name": "Лютик",
        "phones": ["+79120000100"],
    }


def test_a_zero_that_a_spreadsheet_lost_before_an_inn_is_put_back_where_the_checksum_says_so(bus):
    bus("import", "counterparties", workbook(bus, [278900000, None, "x"], [277015293, None, "y"]), "--source", "books")
    assert [one["data"]["inn"] for one in events(bus)] == ["278900000", "0277015293"]


def test_a_row_that_names_nobody_is_rejected_with_its_columns_and_the_others_go_in(bus):
    nobody = ["", "", "", "", "8 912", "", "", "", "x"]
    file = table(bus, party(1), nobody, party(2))
    result = bus("import", "counterparties", file, "--source", "books")
    assert (result.exit_code, result.stdout) == (1, "3 rows: 2 new, 0 known, 1 rejected\n")
    assert "row 3: neither a name nor an INN: nobody is named" in result.stderr
    (kept,) = rejects(file)
    assert (kept["row"], kept["reason"], kept["Телефон"], kept["Прочее"]) == (
        "3",
        "neither a name nor an INN: nobody is named",
        "8 912",
        "x",
    )


def test_a_value_with_a_divider_in_it_shifts_no_column(bus):
    file = bus.folder / "list.csv"
    file.write_text("ИНН;Наименование\n7707083893;Роза;и К\n", encoding="utf-8")
    result = bus("import", "counterparties", file, "--source", "books")
    assert (result.exit_code, events(bus)) == (1, [])
    assert "a divider stands inside a value" in result.stderr


def test_rejects_of_an_earlier_run_are_not_left_lying(bus):
    file = table(bus, [""] * 8 + ["x"])
    bus("import", "counterparties", file, "--source", "books")
    table(bus, party(1))
    assert bus("import", "counterparties", file, "--source", "books").exit_code == 0
    assert not (bus.folder / "list.csv.rejects.csv").exists()


def test_requisites_that_cannot_be_right_are_kept_as_they_are(bus):
    file = table(bus, ["123", "1", "Роза", "", "позвонить Ане", "", "40702", "1", ""])
    assert bus("import", "counterparties", file, "--source", "books").exit_code == 0
    data = events(bus)[0]["data"]
    assert (data["inn"], data["kpp"], data["phones"]) == ("123", "1", ["позвонить Ане"])


def test_a_dry_run_checks_everything_and_publishes_nothing(bus):
    file = table(bus, party(1), [""] * 8 + ["x"])
    result = bus("import", "counterparties", file, "--source", "books", "--dry-run")
    assert (result.exit_code, result.stdout) == (1, "2 rows: 1 would be published, 1 rejected\n")
    assert (events(bus), len(rejects(file))) == ([], 1)


def test_a_map_says_which_column_is_which(bus):
    file, own = bus.folder / "list.csv", bus.folder / "map.yaml"
    file.write_text("Клиент;Налоговый номер;Наименование\nРоза;7707083893;не то\n", encoding="utf-8")
    own.write_text('name: "Клиент"\ninn: ["ИНН", "Налоговый номер"]\n', encoding="utf-8")
    assert bus("import", "counterparties", file, "--source", "books", "--map", own).exit_code == 0
    assert events(bus)[0]["data"] == {"name": "Роза", "inn": INN}


def test_of_two_rows_for_one_counterparty_the_lower_one_counts(bus):
    bus("import", "counterparties", table(bus, *([INN, "", name] for name in "ёаяб")), "--source", "books")
    assert [one["data"]["name"] for one in events(bus)] == list("ёаяб")


def test_a_value_that_came_back_in_a_later_file_is_news(bus):
    for hour, name in enumerate(["Роза", "Астра", "Роза"]):
        file = table(bus, [INN, "", name, "", "", "", "", "", ""])
        as_of = f"2026-10-05T{hour:02}:00:00"
        assert bus("import", "counterparties", file, "--source", "books", "--as-of", as_of).exit_code == 0
    assert [one["data"]["name"] for one in events(bus)] == ["Роза", "Астра", "Роза"]


REFUSED = {
    "an unknown source": (
        ["--source", "shop"],
        "--source must name a system of kind events or bank: books, bank, quiet",
    ),
    "a source that is switched off": (["--source", "quiet"], "set routes.counterparty.in of it to full"),
    "a time to come": (["--source", "books", "--as-of", "2150-01-01"], "dated more than a day ahead"),
    "a sheet of a csv": (["--source", "books", "--sheet", "x"], "only an .xlsx has sheets"),
}


def test_what_cannot_be_meant_is_refused_before_anything_is_read(bus):
    file = table(bus, party(1))
    for words, why in REFUSED.values():
        result = bus("import", "counterparties", file, *words)
        assert result.exit_code == 1
        assert why in result.stderr
    assert events(bus) == []


def test_a_file_that_is_no_table_is_refused_in_plain_words(bus):
    file = bus.folder / "list.csv"
    file.write_text("а;б\n1;2\n", encoding="utf-8")
    result = bus("import", "counterparties", file, "--source", "books")
    assert result.exit_code == 1
    assert "names a known column; say with --map which is which" in result.stderr


def test_an_interrupted_import_says_what_was_reached_and_goes_on_when_it_is_run_again(bus):
    file = table(bus, *map(party, range(10)))
    arguments = ("import", "counterparties", file, "--source", "books", "--batch", 3)
    broken = bus(*arguments, wire=failing_after(2))
    assert broken.exit_code == 1
    assert "stopped after row 7 (6 new, 0 known, 0 rejected); run it again" in broken.stderr
    assert bus(*arguments).stdout == "10 rows: 4 new, 6 known, 0 rejected\n"


# --- payments ---

PAYMENTS = "Дата;Номер;Сумма;ИНН;Заказ;Назначение платежа\n"


def money(bus: Bus, *lines: str, source: str = "books", header: str = PAYMENTS) -> tuple:
    file = bus.folder / "payments.csv"
    file.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    return bus("import", "payments", file, "--source", source), file


def know_order(bus: Bus) -> str:
    """An order of a customer; its entity's id."""
    order = {"number": "1001", "total": {"amount": "100", "currency": "RUB"}, "customer": {"inn": INN}}
    event = {"source": "books", "type": "order.changed", "subject": "order/1", "data": order}
    wiring = bus.wiring
    wiring.publisher.publish(event)
    with wiring.ledger.transaction() as connection:
        pending = [row["seq"] for row in connection.execute("SELECT seq FROM event").fetchall()]
    wiring.pipeline.apply(pending)
    with wiring.ledger.transaction() as connection:
        return str(connection.execute("SELECT id FROM entity WHERE kind = 'order'").fetchone()["id"])


def test_a_payment_names_its_order_by_number(bus):
    result, _ = money(bus, "05.10.2026;17;1 234,50;;1001;")
    assert result.stdout == "1 rows: 1 new, 0 known, 0 rejected\n"
    (event,) = events(bus)
    assert event["data"] == {
        "order": {"number": "1001"},
        "amount": {"amount": "1234.50", "currency": "RUB"},
        "status": "paid",
        "paid_at": "2026-10-05T00:00:00+03:00",
        "external_number": "17",
        "records": [{"system": "money", "type": "payment", "id": "2026-10-05:17:1234.50:-"}],
    }


def test_a_payment_that_names_no_order_is_assigned_as_in_a_statement(bus):
    entity = know_order(bus)
    result, _ = money(bus, f"05.10.2026;17;100;{INN};;по договору")
    assert result.exit_code == 0
    (event,) = [one for one in events(bus) if one["subject"].startswith("payment/")]
    assert event["data"]["order"] == {"system": "bus", "type": "order", "id": entity}
    assert money(bus, f"05.10.2026;17;100;{INN};;по договору")[0].stdout == "1 rows: 0 new, 1 known, 0 rejected\n"


def test_of_a_bank_a_person_is_asked_and_of_others_the_row_is_rejected(bus):
    result, file = money(bus, "05.10.2026;17;100;;;")
    assert (result.exit_code, rejects(file)[0]["reason"].partition("?")[0]) == (1, "for which order")
    asked, _ = money(bus, "05.10.2026;17;100;;;", source="bank")
    assert (asked.exit_code, asked.stdout) == (0, "1 rows: 1 new, 0 known, 0 rejected\n")
    assert "1 payments wait for a person" in asked.stderr


BAD_PAYMENTS = {
    "no sum": ("05.10.2026;1;;;7;", "the sum is missing"),
    "no number": ("05.10.2026;1;сто;;7;", "the sum: not a sum"),
    "a negative sum": ("05.10.2026;1;-5;;7;", "what is given back is a positive sum"),
    "no day": (";1;5;;7;", "the day is missing"),
    "no such day": ("31.02.2026;1;5;;7;", "the day: "),
}


def test_a_payment_that_cannot_be_read_is_rejected_with_the_reason(bus):
    result, file = money(bus, *(line for line, _ in BAD_PAYMENTS.values()))
    assert (result.exit_code, result.stdout) == (1, "5 rows: 0 new, 0 known, 5 rejected\n")
    for kept, (_, why) in zip(rejects(file), BAD_PAYMENTS.values(), strict=True):
        assert kept["reason"].startswith(why) or why in kept["reason"]


def test_what_is_given_back_is_a_refund_and_an_unknown_word_is_never_taken_for_one(bus):
    header = "Дата;Сумма;Заказ;Статус;Валюта\n"
    result, file = money(bus, "05.10.2026;5;7;Возврат;USD", "05.10.2026;5;7;наверное;", header=header)
    assert result.stdout == "2 rows: 1 new, 0 known, 1 rejected\n"
    (event,) = events(bus)
    assert (event["data"]["status"], event["data"]["amount"]["currency"]) == ("refund", "USD")
    assert rejects(file)[0]["reason"].startswith("status: the word is not known; known: оплачен, возврат, ожидает")


def test_two_cannot_assign_payments_at_once(bus):
    with bus.wiring.ledger.alone(LOCK):
        result, _ = money(bus, "05.10.2026;17;100;;;")
    assert result.exit_code == 1
    assert "payments are assigned by someone else just now" in result.stderr


# --- statements ---


def test_a_statement_is_imported_once_and_tells_what_came_of_each_document(bus):
    know_order(bus)
    file = bus.folder / "kl_to_1c.txt"
    file.write_bytes(raw(document(), paid()))
    first, again = (bus("import", "statement", file) for _ in range(2))
    assert (first.exit_code, first.stdout.splitlines()) == (
        0,
        [
            "2 documents: 1 payments are new, 0 known, 1 are no payments, 0 could not be read",
            "line 23: № 17 of 05.10.2026, 100.00: paid",
        ],
    )
    assert again.stdout.splitlines()[0].startswith("2 documents: 0 payments are new, 1 known")


def test_a_statement_with_a_fault_ends_with_1_and_names_the_line(bus):
    file = bus.folder / "kl_to_1c.txt"
    file.write_bytes(raw(document(Сумма="сто")))
    result = bus("import", "statement", file, "--system", "bank")
    assert result.exit_code == 1
    assert "line 11: Сумма: not a sum" in result.stdout


def test_a_statement_that_is_only_tried_publishes_nothing(bus):
    file = bus.folder / "kl_to_1c.txt"
    file.write_bytes(raw(document()))
    result = bus("import", "statement", file, "--dry-run")
    assert "nothing was published; 0 payments have their order, 1 have none" in result.stdout
    assert events(bus) == []
