"""Names of files as 1C gives them: only a name in a table for us, cleaned all the same, and what stands behind it."""

from __future__ import annotations

import re

_PREFIX = re.compile(r"^/*(?:tmp|upload/1c/webdata[^/]*)/", re.IGNORECASE)
"""Folders of the 1C server that some releases send along (facts 1.1); Bitrix strips them too."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 255
_READ = re.compile(r"^(?:contragents|counterparties|documents|orders)[^/]*\.xml$", re.IGNORECASE)
_XML, _ZIP = ".xml", ".zip"


def cleaned(name: str | None) -> str:
    """The name without folders of the sender's, without ways out of a folder; empty where nothing is left."""
    plain = _PREFIX.sub("", _CONTROL.sub("", name or "").replace("\\", "/").strip())
    parts = [part for part in plain.split("/") if part.strip() not in ("", ".", "..")]
    return "/".join(parts)[-_LONGEST:].lstrip("/")


def is_read(exchange_type: str, name: str) -> bool:
    """Does a file of that name hold orders or counterparties? Goods, prices and pictures are set aside.

    What comes as `sale` is orders, whatever it is called; beside a catalogue the free module of 1C-Bitrix sends
    counterparties and documents (facts 1.4).
    """
    base = name.rpartition("/")[2]
    if exchange_type == "sale":
        return base.lower().endswith(_XML)
    return exchange_type == "catalog" and bool(_READ.match(base))


def is_archive(name: str) -> bool:
    """Does it hold files?"""
    return name.lower().endswith(_ZIP)
