"""Values as portals write them (ids, sums, times, phones, texts), read tolerantly and said in one canonical form."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from bus import requisites
from bus.model import Fields, Json, Kind, Line, Money

_SHORT, _LONG = 255, 4000
_BB = re.compile(
    r"\[/?(?:b|i|u|s|p|url|img|list|color|size|font|center|left|right|justify|quote|code|user|table|tr|td|th|disk|video)"
    r"(?:[ =][^\[\]]*)?\]",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|tr|h\d)>|\[/(?:p|tr|list)\]|\[br\]|\[\*\]", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|[a-z][a-z0-9]*);", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>", re.IGNORECASE)


def text(value: Any) -> str | None:
    """Trimmed text; a number as it is written, several values joined; nothing for "", null and PHP's false."""
    if value is None or value is False:
        return None
    if isinstance(value, list):
        return ", ".join(part for part in map(text, value) if part) or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def identifier(value: Any) -> str | None:
    """An id as text: 12, 12.0, "12" and a number field's "12.00" are one; 0 means that there is none."""
    said = re.sub(r"^(\d+)\.0+$", r"\1", text(value) or "")
    return None if said in ("", "0") else said


def origin(value: Any, kind: Kind) -> list[Json]:
    """The entity that a record was created for, where the bus created it: our own key there is the entity's id."""
    said = text(value) or ""
    return [{"system": "bus", "type": kind, "id": said.lower()}] if _UUID.fullmatch(said) else []


def _sum(value: Any) -> Decimal | None:
    said = text(value)
    if said is None:
        return None
    try:
        return Decimal(re.sub(r"\s", "", said).replace(",", "."))
    except InvalidOperation:
        raise ValueError("not a number") from None


def listed(value: Any) -> Any:
    """PHP writes a list with gaps in its keys as an object."""
    return list(value.values()) if isinstance(value, Mapping) else value


Text = Annotated[str | None, BeforeValidator(text)]
Id = Annotated[str | None, BeforeValidator(identifier)]
Sum = Annotated[Decimal | None, BeforeValidator(_sum)]
Stamp = Annotated[AwareDatetime | None, BeforeValidator(lambda value: value or None)]
Listed = BeforeValidator(listed)


class Read(BaseModel):
    """The part of a native record that is read: camelCase names, everything else ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    def says(self, *names: str) -> bool:
        """Whether the record said all of these, be it as empty."""
        return all(name in self.model_fields_set for name in names)


def short(value: Any) -> str | None:
    """Text as a short canonical field holds it: 255 characters."""
    said = text(value)
    return said[:_SHORT].strip() if said else None


def long(value: Any) -> str | None:
    """Text as a long canonical field holds it: 4000 characters; what a portal keeps beyond them is not compared."""
    said = text(value)
    return said[:_LONG].strip() if said else None


def name(value: Any) -> str | None:
    """A person's name with single spaces: CRMs cut it in pieces and put it together again."""
    said = text(value)
    return short(" ".join(said.split())) if said else None


def plain(value: Any) -> str | None:
    """Text of a rich-text field: BB and HTML tags dropped, entities resolved; unknown [words] are the author's own."""
    said = text(value)
    if said is None:
        return None
    said = _TAG.sub("", _BB.sub("", _BREAK.sub("\n", said.replace("\r\n", "\n"))))
    return long(_ENTITY.sub(lambda found: html.unescape(found[0]), said).replace("\xa0", " "))


def phone(value: Any) -> str | None:
    """E.164 where the number is a possible one (Russia unless it says otherwise), else as it was written, trimmed."""
    said = short(value)
    return requisites.phone(said) if said else None


def email(value: Any) -> str | None:
    """An address with its domain in lower case; the part before the @ may matter to its server and stays."""
    said = short(value)
    return requisites.email(said) if said else None


def requisite(value: Any) -> str | None:
    """An INN, KPP or the like as it was written, without blanks."""
    return short(requisites.clean(value))


def amount(value: Decimal | None, currency: str | None) -> Json:
    """A canonical sum; None when either half is missing."""
    if value is None or currency is None:
        return None
    return Money(amount=value, currency=currency).model_dump(mode="json")


def line(product: str | None, title: str | None, quantity: Decimal | None, price: Decimal | None) -> Json:
    """A canonical order line. A nameless row is called by its product, so that no row is lost."""
    made = Line(
        product=short(product),
        name=short(title) or short(product) or "?",
        quantity=Decimal(1) if quantity is None else quantity,
        price=Decimal(0) if price is None else price,
    )
    return made.model_dump(mode="json")


def moment(value: datetime | None) -> Json:
    """A canonical time: UTC, so that one moment has one spelling, to the second, as Bitrix keeps it."""
    if value is None:
        return None
    return value.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


_ALIKE = {
    "customer.name": name,
    "customer.phone": phone,
    "customer.email": email,
    "customer.company": name,
    "customer.inn": requisite,
    "customer.kpp": requisite,
}


def differing(fields: Fields, says: Fields) -> Fields:
    """Of `fields`, what a record that `says` so must be told; nothing is cleared where nothing was said."""
    return {
        field: value
        for field, value in fields.items()
        if comparable(field, value) != comparable(field, says.get(field))
    }


def comparable(field: str, value: Json) -> Json:
    """One form for values that mean the same: 1480 and "1480.00", 8 (999) and +7999, one moment in two zones."""
    if field == "lines":
        return [line(one.get("product"), one["name"], _sum(one["quantity"]), _sum(one["price"])) for one in value or []]
    if value is None:
        return None
    if isinstance(value, Mapping):
        return amount(_sum(value["amount"]), value["currency"])
    if field == "paid_at":
        return moment(datetime.fromisoformat(value))
    return _ALIKE.get(field, text)(value)
