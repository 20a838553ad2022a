"""Writes: create, change, replace, delete, post and unpost, with what a live УТ 11 lets through and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

from bus.sandbox.envelope import RestError
from bus.sandbox.onec.objects import Objects, register_key
from bus.sandbox.onec.odata import errors, values
from bus.sandbox.onec.odata.addresses import Key
from bus.sandbox.onec.odata.published import Published
from bus.sandbox.onec.odata.reading import Reader
from bus.sandbox.onec.schema import ZERO_GUID, EntitySet, Row


@dataclass(frozen=True)
class Conditions:
    """What the request's headers say: load mode skips handlers; If-Match is the version the client last saw."""

    load: bool = False
    if_match: str = ""


@dataclass(frozen=True)
class Writer:
    """Writes to what is published; every write is all or nothing."""

    reader: Reader

    @property
    def _published(self) -> Published:
        return self.reader.published

    @property
    def _objects(self) -> Objects:
        return self.reader.published.objects

    def create(self, name: str, body: Row, conditions: Conditions) -> Row:
        """POST to a set."""
        schema = self._writable(name)
        row = schema.blank() | self._taken(schema, body)
        if not schema.referable:
            return self._record(schema, row)
        key = self._own_key(body) or self._objects.new_key()
        if self._objects.row(name, key):
            raise errors.exists(f"{name} {key}")
        return self._objects.write(name, row | {"Ref_Key": key}, load=conditions.load)

    def change(self, name: str, key: Key, body: Row, conditions: Conditions) -> Row:
        """PATCH: the fields given, whole sections; the version grows even when nothing changed."""
        schema = self._writable(name)
        row = self._current(schema, key, conditions) | self._taken(schema, body)
        return self._put(schema, row, conditions)

    def replace(self, name: str, key: Key, body: Row, conditions: Conditions) -> Row:
        """PUT: what is not given is emptied, but for what nobody may write."""
        schema = self._writable(name)
        row = self._current(schema, key, conditions)
        kept = {field: row[field] for field in (*values.STANDARD, "Number", *schema.keys) if field in row}
        return self._put(schema, schema.blank() | self._taken(schema, body) | kept, conditions)

    def delete(self, name: str, key: Key, conditions: Conditions) -> None:
        """DELETE is physical: who still refers to the row refers to nothing."""
        schema = self._writable(name)
        row = self._current(schema, key, conditions)
        self._objects.put(name, register_key(schema, row), None)

    def post(self, name: str, key: Key, *, posted: bool) -> Row:
        schema = self._writable(name)
        if schema.kind != "Document":
            raise errors.no_method("Post" if posted else "Unpost")
        reference = str(self.reader.one(schema, key)["Ref_Key"])
        return self._objects.post(name, reference) if posted else self._objects.unpost(name, reference)

    def _writable(self, name: str) -> EntitySet:
        schema = self._published.of(name)
        if name in self._published.tabular:
            raise errors.tabular(name)
        if schema.derived:
            raise errors.no_rights(name)
        return schema

    def _current(self, schema: EntitySet, key: Key, conditions: Conditions) -> Row:
        row = self.reader.one(schema, key)
        honoured = self.reader.switches.if_match and conditions.if_match
        if honoured and conditions.if_match.removeprefix("W/").strip('"') not in ("*", row.get("DataVersion")):
            raise errors.stale()
        return row

    def _taken(self, schema: EntitySet, body: Row) -> Row:
        fields = values.taken(self._published, schema, body)
        for lines in schema.sections:
            if lines.name in body:
                fields[lines.name] = values.section(self._published, lines, body[lines.name])
        return fields

    def _own_key(self, body: Row) -> str:
        sent = body.get("Ref_Key") or ZERO_GUID
        if not self.reader.switches.own_keys or sent == ZERO_GUID:
            return ""
        return values.guid("Ref_Key", sent)

    def _put(self, schema: EntitySet, row: Row, conditions: Conditions) -> Row:
        if schema.referable:
            return self._objects.write(schema.name, row, load=conditions.load)
        self._objects.put(schema.name, register_key(schema, row), row)
        return row

    def _record(self, schema: EntitySet, row: Row) -> Row:
        """A row of an independent register; it has no version, and an existing key refuses."""
        key = register_key(schema, row)
        if self._objects.row(schema.name, key):
            raise RestError("15", f"Запись с такими ключевыми полями существует: {schema.name}", 400)
        self._objects.put(schema.name, key, row)
        return row
