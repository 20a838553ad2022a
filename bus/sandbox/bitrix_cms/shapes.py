"""The shape of an order and of its parts, as sale.order.get answers it: ids inside the basket are strings."""

from __future__ import annotations

from typing import Any

from bus.sandbox.envelope import RestError, Row

PARTS = ("basketItems", "payments", "shipments", "propertyValues", "clients", "tradeBindings", "requisiteLink")

ORDER: Row = {
    "additionalInfo": "",
    "affiliateId": None,
    "canceled": "N",
    "comments": "",
    "companyId": 0,
    "currency": "RUB",
    "dateCanceled": None,
    "dateLock": None,
    "dateMarked": None,
    "deducted": "N",
    "discountValue": 0,
    "empCanceledId": None,
    "empMarkedId": None,
    "empStatusId": None,
    "externalOrder": "N",
    "id1c": "",
    "lid": "s1",
    "lockedBy": "",
    "marked": "N",
    "orderTopic": "",
    "payed": "N",
    "personTypeXmlId": "",
    "reasonCanceled": "",
    "reasonMarked": "",
    "recountFlag": "Y",
    "recurringId": "",
    "responsibleId": None,
    "statusId": "N",
    "statusXmlId": "",
    "taxValue": 0,
    "updated1c": "N",
    "userDescription": "",
    "version": 0,
    "version1c": "",
}
WRITABLE = frozenset(
    [
        "additionalInfo",
        "canceled",
        "comments",
        "companyId",
        "externalOrder",
        "id1c",
        "marked",
        "orderTopic",
        "personTypeId",
        "reasonCanceled",
        "reasonMarked",
        "responsibleId",
        "statusId",
        "updated1c",
        "userDescription",
        "userId",
        "version1c",
        "xmlId",
    ],
)
"""What sale.order.update may set. `payed` is not here: it is computed from the payments."""

PAYMENT: Row = {
    "comments": "",
    "companyId": 0,
    "dateMarked": None,
    "datePaid": None,
    "datePayBefore": None,
    "dateResponsibleId": None,
    "empMarkedId": None,
    "empPaidId": None,
    "empResponsibleId": None,
    "empReturnId": None,
    "externalPayment": "N",
    "id1c": "",
    "isReturn": "N",
    "marked": "N",
    "paid": "N",
    "payReturnComment": "",
    "payReturnDate": None,
    "payReturnNum": "",
    "payVoucherDate": None,
    "payVoucherNum": "",
    "priceCod": "0",
    "psCurrency": "",
    "psInvoiceId": None,
    "psResponseDate": None,
    "psStatus": "",
    "psStatusCode": "",
    "psStatusDescription": "",
    "psStatusMessage": "",
    "psSum": None,
    "reasonMarked": "",
    "responsibleId": None,
    "sum": 0,
    "updated1c": "N",
    "version1c": "",
}
PAYMENT_WRITABLE = frozenset(
    [
        "comments",
        "companyId",
        "datePaid",
        "datePayBefore",
        "externalPayment",
        "id1c",
        "isReturn",
        "marked",
        "paid",
        "payReturnComment",
        "payReturnDate",
        "payReturnNum",
        "paySystemId",
        "payVoucherDate",
        "payVoucherNum",
        "psInvoiceId",
        "psStatus",
        "psSum",
        "reasonMarked",
        "responsibleId",
        "sum",
        "updated1c",
        "version1c",
        "xmlId",
    ],
)

SHIPMENT: Row = {
    "allowDelivery": "N",
    "canceled": "N",
    "comments": "",
    "companyId": 0,
    "customPriceDelivery": "N",
    "dateAllowDelivery": None,
    "dateCanceled": None,
    "dateDeducted": None,
    "dateMarked": None,
    "deducted": "N",
    "deliveryDocDate": None,
    "deliveryDocNum": "",
    "deliveryXmlId": "",
    "discountPrice": 0,
    "empAllowDeliveryId": None,
    "empCanceledId": None,
    "empDeductedId": None,
    "externalDelivery": "N",
    "id1c": "",
    "marked": "N",
    "reasonMarked": "",
    "responsibleId": None,
    "shipmentItems": [],
    "statusId": "DN",
    "system": "N",
    "trackingDescription": "",
    "trackingNumber": "",
    "trackingStatus": "",
    "updated1c": "N",
    "version1c": "",
}
SHIPMENT_WRITABLE = frozenset(
    [
        "allowDelivery",
        "comments",
        "deducted",
        "deliveryDocDate",
        "deliveryDocNum",
        "id1c",
        "marked",
        "priceDelivery",
        "statusId",
        "trackingDescription",
        "trackingNumber",
        "trackingStatus",
        "xmlId",
    ],
)

BASKET: Row = {
    "barcodeMulti": "N",
    "canBuy": "Y",
    "catalogXmlId": "",
    "customPrice": "N",
    "dateRefresh": None,
    "detailPageUrl": "",
    "discountCoupon": "",
    "discountName": "",
    "discountPrice": 0,
    "discountValue": "",
    "fuserId": 4,
    "lid": "s1",
    "measureCode": "796",
    "measureName": "pcs",
    "module": "catalog",
    "notes": "",
    "priceTypeId": 1,
    "productPriceId": 0,
    "properties": [],
    "recommendation": "",
    "reservations": [],
    "setParentId": "",
    "sort": 100,
    "subscribe": "N",
    "type": "",
    "vatIncluded": "Y",
    "vatRate": 0.2,
    "weight": 0,
}

NUMERIC = frozenset(
    {"companyId", "responsibleId", "userId", "personTypeId", "paySystemId", "psInvoiceId", "affiliateId"}
)
MONEY = frozenset({"sum", "psSum", "price", "priceDelivery", "basePrice", "quantity", "discountPrice", "vatRate"})


def typed(name: str, value: Any) -> Any:
    """A value a client sent, in the type the shop answers with."""
    if value is None or value == "":
        return None if name in NUMERIC or name in MONEY or name.startswith("date") else ""
    if name in NUMERIC or name in MONEY:
        return _number(name, value)
    if isinstance(value, bool):
        return "Y" if value else "N"
    return str(value)


def _number(name: str, value: Any) -> float:
    try:
        return int(value) if name in NUMERIC else tidy(float(value))
    except (TypeError, ValueError):
        raise RestError(0, f"{name}: {value!r} is not a number") from None


def tidy(value: float) -> float:
    """Money as JSON: 1480 and not 1480.0."""
    rounded = round(float(value), 4)
    return int(rounded) if rounded.is_integer() else rounded
