import pytest

from bus.purposes import Named, orders, same, spellings

PURPOSES = {
    "Оплата по заказу клиента №9614, НДС не облагается": [Named("9614")],
    "по счету № 77 от 12.01.2024 за заказ 1234. НДС 20%": [Named("77", 2024), Named("1234")],
    "Заказ клиента ТДЦБ-000123 от 12.01.24г": [Named("ТДЦБ-000123", 2024)],
    "заказ от 12.01.2024 № 55": [Named("55", 2024)],
    "заказы №12, 13 и 14, НДС 20%": [Named("12"), Named("13"), Named("14")],
    "счета №12 от 01.02.2024, №13 от 02.02.2024": [Named("12", 2024), Named("13", 2024)],
    "по заказу 12, 13 шт.": [Named("12")],
    "номер заказа: А-12/3": [Named("А-12/3")],
    "Счёт-договор № 7 от 1.2.2024": [Named("7", 2024)],
    "оплата заказа в интернет-магазине 100500": [Named("100500")],
    "Заказ №9614.НДС нет": [Named("9614")],
    "Оплата ЗАКАЗ№00009614": [Named("00009614")],
    "Order #1001, invoice INV-7": [Named("1001"), Named("INV-7")],
    "заказ 5, снова заказ 5": [Named("5")],
    "счет-фактура №5": [],
    "Оплата по счету 40702810000000074935": [],
    "заказчик № 5, расчет 12": [],
    "по договору № 17": [],
    "": [],
}


@pytest.mark.parametrize(("purpose", "named"), PURPOSES.items())
def test_orders_and_invoices_are_found_in_the_words_of_a_payment(purpose, named):
    assert orders(purpose) == named


PRINTED = {
    ("2", "ТДЦБ-000002"): True,
    ("тдцб-2", "ТДЦБ-000002"): True,
    ("9614", "0000-009614"): True,
    ("A-12", "А-12"): True,
    ("12", "ТДЦБ-000002"): False,
    ("123", "12-3"): False,
    ("3", "12-3"): False,
    ("0", "ТДЦБ-000000"): False,
}


@pytest.mark.parametrize(("numbers", "one"), PRINTED.items())
def test_a_number_in_print_is_known_without_its_prefix_and_zeros(numbers, one):
    assert same(*numbers) is one


def test_a_number_is_looked_for_in_capitals_unpadded_and_in_both_alphabets():
    assert spellings("00a-12") == ["00a-12", "00A-12", "00А-12", "a-12", "A-12", "А-12"]
