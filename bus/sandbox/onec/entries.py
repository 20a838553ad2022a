"""What acts have in common: short names for 1C's fields, codes, dates, and the answer."""

from __future__ import annotations

from collections.abc import Mapping

from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.schema import ZERO_DATE, Row


def answered(row: Row) -> Row:
    """`id` is the Ref_Key; documents have a number too."""
    answer = {"ok": True, "id": row["Ref_Key"], "version": row["DataVersion"]}
    return answer | ({"number": row["Number"]} if "Number" in row else {})


def named(names: Mapping[str, str], act: Row) -> Row:
    """The act's short keys as fields of the set; keys that it does not have are not said."""
    return {field: act[short] for short, field in names.items() if short in act}


def moment(text: str) -> str:
    """A day is its midnight."""
    return text + ZERO_DATE[len(text) :]


def coded(objects: Objects, name: str, fields: Row) -> Row:
    """Enter an item of a catalog that numbers its items: `00-00000001`."""
    return objects.create(name, {"Code": f"00-{objects.count(name) + 1:08d}", **fields})
