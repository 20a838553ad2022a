"""Requisite templates: crm.requisite.preset.*, the three that a Russian portal is born with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.sandbox.bitrix24.schema import REQUISITE
from bus.sandbox.bitrix24.sheets import Sheet, columns
from bus.sandbox.envelope import Page, Params, RestError, Row, number
from bus.sandbox.phpform import as_list

if TYPE_CHECKING:
    from bus.sandbox.site import Hit, Method

RUSSIA = 1
_XML = "#CRM_REQUISITE_PRESET_DEF_RU_{}#"
_BORN = ((1, "Организация", "COMPANY"), (3, "ИП", "INDIVIDUAL"), (5, "Физ. лицо", "PERSON"))
_COLUMNS = """
ID:integer ENTITY_TYPE_ID:integer COUNTRY_ID:integer DATE_CREATE:datetime DATE_MODIFY CREATED_BY_ID:integer
MODIFY_BY_ID:integer NAME XML_ID ACTIVE:char SORT:integer
"""


class Presets:
    """The templates by id. Ids differ from portal to portal; XML_ID tells which is which (Bitrix kernel)."""

    def __init__(self, now: str) -> None:
        self._now = now
        self.replace([{"id": key, "name": name, "xmlId": _XML.format(code)} for key, name, code in _BORN])

    def replace(self, rows: list[Row]) -> None:
        """Another portal's templates: [{id, name, xmlId?, country?}]."""
        self._sheet = Sheet(columns(_COLUMNS))
        for row in rows:
            said = {"ID": row["id"], "NAME": row.get("name", row["id"]), "XML_ID": row.get("xmlId")}
            said |= {"ENTITY_TYPE_ID": REQUISITE, "COUNTRY_ID": row.get("country", RUSSIA), "CREATED_BY_ID": 1}
            said |= {"DATE_CREATE": self._now, "ACTIVE": "Y", "SORT": 500}
            self._sheet.put(int(row["id"]), said)

    def known(self, preset: object) -> bool:
        return number(preset) in self._sheet.table.rows

    def country(self, preset: int) -> int:
        """The country of a template; Russia when it is gone."""
        row = self._sheet.table.rows.get(preset)
        return int(row["COUNTRY_ID"]) if row else RUSSIA

    def methods(self) -> dict[str, Method]:
        return {"crm.requisite.preset.list": self.find, "crm.requisite.preset.get": self.get}

    def get(self, params: Params, hit: Hit) -> Row:
        del hit
        key = number(params.get("id", params.get("ID")))
        if not self.known(key):
            raise RestError("", f"The Preset with ID '{key}' is not found")
        return _shown(self._sheet.shown(self._sheet.table.rows[key]))

    def find(self, params: Params, hit: Hit) -> Page:
        """A field that does not exist is refused in `select`, unlike in the old lists of the CRM."""
        del hit
        for name in as_list(params.get("select")):
            if str(name).upper() not in {*self._sheet.kinds, "*"}:
                raise RestError("100", f"Unknown field definition `{name}` ({name}) for \\Bitrix\\Crm\\Preset Entity.")
        page = self._sheet.find(params)
        return Page([_shown(row) for row in page.result], page.total, page.next)


def _shown(row: Row) -> Row:
    """DATE_MODIFY is an empty string: none of them was ever changed."""
    return {name: "" if name == "DATE_MODIFY" else value for name, value in row.items()}
