"""CRM object types and their fields: the camelCase typed names of crm.item.* beside the old upper-case ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bus.sandbox import times

LEAD, DEAL, CONTACT, COMPANY, QUOTE, REQUISITE, INVOICE, BANK = 1, 2, 3, 4, 7, 8, 31, 88
"""entityTypeId of the CRM; BANK is the sandbox's own number for bank details, which have none."""


@dataclass(frozen=True)
class Field:
    """One field. `kind`: string, integer, double, char, datetime, date, integers, multifield."""

    name: str
    old: str
    kind: str
    writable: bool = True
    default: Any = None


@dataclass(frozen=True)
class Type:
    """One CRM object type. `event` is the middle of its event names, `letter` the owner type of its product rows."""

    id: int
    title: str
    event: str
    letter: str
    fields: tuple[Field, ...]
    first_id: int
    staged: bool = False
    funnels: bool = False
    universal: bool = True
    plain: bool = False
    """Not a CRM item: DATE_MODIFY is empty until the first update, and every update is a save with its event."""

    @cached_property
    def by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def by_old(self) -> dict[str, Field]:
        return {field.old: field for field in self.fields}


def _fields(text: str, *, writable: bool = True) -> tuple[Field, ...]:
    """Fields from lines of `name OLD_NAME kind [default]`."""
    fields = []
    for line in text.strip().splitlines():
        name, old, kind, *rest = line.split()
        default: Any = rest[0] if rest else None
        if kind in ("integer", "double"):
            default = int(rest[0]) if rest else None
        fields.append(Field(name, old, kind, writable, [] if kind in ("integers", "multifield") else default))
    return tuple(fields)


_SYSTEM = _fields(
    """
id ID integer
createdTime DATE_CREATE datetime
updatedTime DATE_MODIFY datetime
createdBy CREATED_BY_ID integer
updatedBy MODIFY_BY_ID integer
lastActivityBy LAST_ACTIVITY_BY integer
lastActivityTime LAST_ACTIVITY_TIME datetime
""",
    writable=False,
)
_STAMPS = tuple(field for field in _SYSTEM if not field.name.startswith("lastActivity"))
_COMMON = _fields(
    """
assignedById ASSIGNED_BY_ID integer 1
opened OPENED char Y
comments COMMENTS string
sourceId SOURCE_ID string
sourceDescription SOURCE_DESCRIPTION string
originatorId ORIGINATOR_ID string
originId ORIGIN_ID string
utmSource UTM_SOURCE string
utmMedium UTM_MEDIUM string
utmCampaign UTM_CAMPAIGN string
utmContent UTM_CONTENT string
utmTerm UTM_TERM string
""",
)
_MONEY = _fields(
    """
opportunity OPPORTUNITY double 0
isManualOpportunity IS_MANUAL_OPPORTUNITY char N
taxValue TAX_VALUE double 0
currencyId CURRENCY_ID string RUB
""",
)
_CLIENT = _fields(
    """
companyId COMPANY_ID integer 0
contactId CONTACT_ID integer 0
contactIds CONTACT_IDS integers
""",
)
_MOVED = _fields("movedBy MOVED_BY_ID integer\nmovedTime MOVED_TIME datetime", writable=False)
_SEMANTIC = _fields("stageSemanticId STAGE_SEMANTIC_ID string P", writable=False)
_PREVIOUS = _fields("previousStageId PREVIOUS_STAGE_ID string", writable=False)
_PERSON = _fields(
    """
name NAME string
lastName LAST_NAME string
secondName SECOND_NAME string
honorific HONORIFIC string
birthdate BIRTHDATE date
post POST string
address ADDRESS string
""",
)
_MULTI = _fields("fm FM multifield")
_VERSION = _fields("originVersion ORIGIN_VERSION string")
_DEAL = _fields(
    """
title TITLE string
typeId TYPE_ID string SALE
categoryId CATEGORY_ID integer 0
stageId STAGE_ID string
begindate BEGINDATE date
closedate CLOSEDATE date
closed CLOSED char N
probability PROBABILITY integer
additionalInfo ADDITIONAL_INFO string
locationId LOCATION_ID string
leadId LEAD_ID integer
quoteId QUOTE_ID integer
isReturnCustomer IS_RETURN_CUSTOMER char N
webformId WEBFORM_ID integer 0
parentId31 PARENT_ID_31 integer
""",
)
_LEAD = _fields("title TITLE string\nstageId STATUS_ID string\ncompanyTitle COMPANY_TITLE string")
_CONTACT = _fields(
    """
typeId TYPE_ID string CLIENT
leadId LEAD_ID integer
companyId COMPANY_ID integer 0
companyIds COMPANY_IDS integers
export EXPORT char Y
""",
)
_COMPANY = _fields(
    """
title TITLE string
typeId COMPANY_TYPE string CUSTOMER
industry INDUSTRY string
leadId LEAD_ID integer
isMyCompany IS_MY_COMPANY char N
revenue REVENUE double
employees EMPLOYEES string
currencyId CURRENCY_ID string RUB
bankingDetails BANKING_DETAILS string
address ADDRESS string
""",
)
_QUOTE = _fields("title TITLE string\nstageId STATUS_ID string\nleadId LEAD_ID integer\ndealId DEAL_ID integer")
_INVOICE = _fields(
    """
title TITLE string
categoryId CATEGORY_ID integer 0
stageId STAGE_ID string
begindate BEGINDATE date
closedate CLOSEDATE date
accountNumber ACCOUNT_NUMBER string
mycompanyId MYCOMPANY_ID integer 0
parentId2 PARENT_ID_2 integer
xmlId XML_ID string
""",
)
_REQUISITE = _fields(
    """
entityTypeId ENTITY_TYPE_ID integer
entityId ENTITY_ID integer
presetId PRESET_ID integer
name NAME string
code CODE string
xmlId XML_ID string
originatorId ORIGINATOR_ID string
active ACTIVE char Y
addressOnly ADDRESS_ONLY char N
sort SORT integer 500
rqName RQ_NAME string
rqFirstName RQ_FIRST_NAME string
rqLastName RQ_LAST_NAME string
rqSecondName RQ_SECOND_NAME string
rqCompanyName RQ_COMPANY_NAME string
rqCompanyFullName RQ_COMPANY_FULL_NAME string
rqCompanyRegDate RQ_COMPANY_REG_DATE string
rqDirector RQ_DIRECTOR string
rqAccountant RQ_ACCOUNTANT string
rqCeoName RQ_CEO_NAME string
rqCeoWorkPos RQ_CEO_WORK_POS string
rqContact RQ_CONTACT string
rqEmail RQ_EMAIL string
rqPhone RQ_PHONE string
rqFax RQ_FAX string
rqIdentDoc RQ_IDENT_DOC string
rqIdentDocSer RQ_IDENT_DOC_SER string
rqIdentDocNum RQ_IDENT_DOC_NUM string
rqIdentDocDate RQ_IDENT_DOC_DATE string
rqIdentDocIssuedBy RQ_IDENT_DOC_ISSUED_BY string
rqIdentDocDepCode RQ_IDENT_DOC_DEP_CODE string
rqInn RQ_INN string
rqKpp RQ_KPP string
rqIfns RQ_IFNS string
rqOgrn RQ_OGRN string
rqOgrnip RQ_OGRNIP string
rqOkpo RQ_OKPO string
rqOktmo RQ_OKTMO string
rqOkved RQ_OKVED string
rqStCertSer RQ_ST_CERT_SER string
rqStCertNum RQ_ST_CERT_NUM string
rqStCertDate RQ_ST_CERT_DATE string
rqVatPayer RQ_VAT_PAYER char N
rqVatId RQ_VAT_ID string
rqResidenceCountry RQ_RESIDENCE_COUNTRY string
rqBaseDoc RQ_BASE_DOC string
""",
)
_BANK = _fields(
    """
entityTypeId ENTITY_TYPE_ID integer 8
entityId ENTITY_ID integer
countryId COUNTRY_ID integer 1
name NAME string
code CODE string
xmlId XML_ID string
originatorId ORIGINATOR_ID string
active ACTIVE char Y
sort SORT integer 500
rqBankName RQ_BANK_NAME string
rqBankAddr RQ_BANK_ADDR string
rqBankRouteNum RQ_BANK_ROUTE_NUM string
rqBik RQ_BIK string
rqMfo RQ_MFO string
rqAccName RQ_ACC_NAME string
rqAccNum RQ_ACC_NUM string
rqIik RQ_IIK string
rqAccCurrency RQ_ACC_CURRENCY string
rqCorAccNum RQ_COR_ACC_NUM string
rqIban RQ_IBAN string
rqSwift RQ_SWIFT string
comments COMMENTS string
""",
)

_BASE = _SYSTEM + _COMMON
_SALE = _MONEY + _CLIENT + _SEMANTIC + _MOVED
_STAGED = _SALE + _PREVIOUS
TYPES: dict[int, Type] = {
    kind.id: kind
    for kind in (
        Type(LEAD, "Lead", "LEAD", "L", _BASE + _LEAD + _PERSON + _SALE + _MULTI, 101, staged=True),
        Type(DEAL, "Deal", "DEAL", "D", _BASE + _DEAL + _SALE, 1001, staged=True, funnels=True),
        Type(CONTACT, "Contact", "CONTACT", "C", _BASE + _CONTACT + _PERSON + _VERSION + _MULTI, 201),
        Type(COMPANY, "Company", "COMPANY", "CO", _BASE + _COMPANY + _VERSION + _MULTI, 301),
        Type(QUOTE, "Quote", "QUOTE", "Q", _BASE + _QUOTE + _SALE, 401, staged=True),
        Type(INVOICE, "Invoice", "DYNAMICITEM", "SI", _BASE + _INVOICE + _STAGED, 801, staged=True, funnels=True),
        Type(REQUISITE, "Requisite", "REQUISITE", "", _STAMPS + _REQUISITE, 501, universal=False, plain=True),
        Type(BANK, "BankDetail", "BANKDETAIL", "", _STAMPS + _BANK, 601, universal=False, plain=True),
    )
}
LETTERS = {kind.letter: kind.id for kind in TYPES.values() if kind.letter}

USER_FIELDS: dict[int, dict[str, str]] = {
    DEAL: {
        "UF_CRM_ORDER_ID": "string",
        "UF_CRM_PAID_TOTAL": "double",
        "UF_CRM_PAYMENT_STATUS": "string",
        "UF_CRM_DELIVERY_METHOD": "string",
        "UF_CRM_DELIVERY_ADDRESS": "string",
    },
}
INDEXED = {
    DEAL: ("originId", "stageId", "UF_CRM_ORDER_ID", "companyId", "contactId"),
    LEAD: ("originId",),
    CONTACT: ("originId", "companyId"),
    COMPANY: ("originId", "title"),
    QUOTE: ("originId", "dealId"),
    INVOICE: ("originId", "xmlId", "parentId2"),
    REQUISITE: ("rqInn", "entityId", "xmlId", "rqOgrn"),
    BANK: ("entityId", "xmlId", "rqAccNum"),
}


def camel(original: str) -> str:
    """UF_CRM_ORDER_ID is ufCrmOrderId, UF_CRM_2_163 ufCrm2_163, UF_CRM_172 ufCrm_172 (Bitrix24 docs, crm.item.get)."""
    head, *parts = original.lower().split("_")
    text = head
    for index, part in enumerate(parts):
        text += f"_{part}" if part[:1].isdigit() and index == len(parts) - 1 else part.capitalize()
    return text


def typed(kind: str, value: Any) -> Any:  # noqa: PLR0911  # one line per kind
    """A value a client sent, in the kind of its field; what cannot be read becomes empty."""
    if kind == "integers":
        raw = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        return [int(item) for item in raw if str(item).lstrip("-").isdigit() and int(item) > 0]
    if value is None or value == "" or isinstance(value, dict | list):
        return None
    match kind:
        case "integer":
            return _number(value, int)
        case "double":
            return _number(value, lambda text: round(float(text), 4))
        case "char":
            return "Y" if value in (True, 1, "1", "Y", "y") else "N"
        case "datetime":
            return times.normal(value)
        case "date":
            day = times.normal(value)
            return f"{day[:10]}T03:00:00+03:00" if day else None
        case _:
            return str(value)


def classic(kind: str, value: Any) -> Any:
    """A stored value as the old methods say it: strings everywhere, money with two decimals."""
    if value is None or isinstance(value, list):
        return value
    if kind == "double":
        return f"{value:.2f}"
    return str(value)


def tidy(value: Any) -> Any:
    """A stored number as JSON of the new methods: 1000 and not 1000.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any, read: Any) -> Any:
    try:
        return read(str(value).split("|")[0].strip())
    except ValueError:
        return None
