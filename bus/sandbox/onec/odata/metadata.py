"""$metadata: the CSDL document of what is published. The same publication gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator

from bus.sandbox.onec.odata.published import Published
from bus.sandbox.onec.schema import LINE_NUMBER, NAMESPACE, REF_KEY, EntitySet, Property, Section

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" Version="1.0">
<edmx:DataServices xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" \
m:DataServiceVersion="3.0" m:MaxDataServiceVersion="3.0">
<Schema xmlns="http://schemas.microsoft.com/ado/2009/11/edm" Namespace="StandardODATA">
"""
_TAIL = "</Schema>\n</edmx:DataServices>\n</edmx:Edmx>\n"
_ENUMS = """<EnumType Name="AllowedLength" UnderlyingType="Edm.Int32">
<Member Name="Fixed"/>
<Member Name="Variable"/>
</EnumType>"""


def document(published: Published) -> str:
    """Types of sets and rows, associations, the container with its sets and functions."""
    sets = [*published.sets.values(), *(one for one, _ in published.tabular.values())]
    ordered = sorted(sets, key=lambda one: one.name)
    lines = [line for one in ordered for line in _entity_type(published, one)]
    for one in published.sets.values():
        for section in one.sections:
            lines += _row_type(one, section)
    lines += [line for one in ordered for line in _associations(published, one)]
    lines += [_ENUMS, '<EntityContainer Name="EnterpriseV8" m:IsDefaultEntityContainer="true">']
    lines += [f'<EntitySet Name="{one.name}" EntityType="{one.type_name}"/>' for one in ordered]
    lines += [line for one in ordered for line in _functions(published, one)]
    return _HEAD + "\n".join(lines) + "\n</EntityContainer>\n" + _TAIL


def _entity_type(published: Published, schema: EntitySet) -> Iterator[str]:
    yield f'<EntityType Name="{schema.name}">'
    yield "<Key>"
    yield from (f'<PropertyRef Name="{name}"/>' for name in schema.keys)
    yield "</Key>"
    yield from (_property(one, schema.keys) for one in schema.properties)
    for section in schema.sections:
        kind = f"Collection({NAMESPACE}.{schema.name}_{section.name}_RowType)"
        yield f'<Property Name="{section.name}" Type="{kind}" Nullable="true"/>'
    for name in _linked(published, schema):
        relation = f"{NAMESPACE}.{schema.name}_{name}"
        yield f'<NavigationProperty Name="{name}" Relationship="{relation}" FromRole="Begin" ToRole="End"/>'
    yield "</EntityType>"


def _row_type(schema: EntitySet, section: Section) -> Iterator[str]:
    yield f'<ComplexType Name="{schema.name}_{section.name}_RowType">'
    keys = (REF_KEY.name, LINE_NUMBER.name)
    yield from (_property(one, keys) for one in (REF_KEY, LINE_NUMBER, *section.properties))
    yield "</ComplexType>"


def _associations(published: Published, schema: EntitySet) -> Iterator[str]:
    for name, one in _linked(published, schema).items():
        yield f'<Association Name="{schema.name}_{name}">'
        yield f'<End Role="Begin" Type="{schema.type_name}" Multiplicity="*"/>'
        yield f'<End Role="End" Type="{NAMESPACE}.{one.target}" Multiplicity="0..1"/>'
        yield "</Association>"


def _functions(published: Published, schema: EntitySet) -> Iterator[str]:
    if schema.kind == "Document" and schema.name in published.sets:
        for name in ("Post", "Unpost"):
            yield f'<FunctionImport Name="{name}" IsBindable="true" IsSideEffecting="true">'
            yield f'<Parameter Name="bindingParameter" Type="{schema.type_name}"/>'
            yield '<Parameter Name="PostingModeOperational" Type="Edm.Boolean"/>'
            yield "</FunctionImport>"
    if "Period" in schema.keys:
        for name in ("SliceFirst", "SliceLast"):
            returned = f"Collection({schema.type_name})"
            yield f'<FunctionImport Name="{name}" IsBindable="true" IsSideEffecting="false" ReturnType="{returned}">'
            yield f'<Parameter Name="bindingParameter" Type="{schema.type_name}"/>'
            yield '<Parameter Name="Condition" Type="Edm.String"/>'
            yield '<Parameter Name="Period" Type="Edm.DateTime"/>'
            yield "</FunctionImport>"


def _property(one: Property, keys: tuple[str, ...]) -> str:
    nullable = "false" if one.name in keys else "true"
    return f'<Property Name="{one.name}" Type="Edm.{one.edm}" Nullable="{nullable}"/>'


def _linked(published: Published, schema: EntitySet) -> dict[str, Property]:
    return {name: one for name, one in schema.navigations.items() if published.target(one)}
