"""A shop, a CRM and a 1C, and the registry over them, with or without tables of one's own."""

from pathlib import Path

import pytest

from bus.config import Config, from_document
from mappings.registry import Registry
from mappings.tables import CodeTables


def config_of(folder: Path | None = None, **crm_settings: str) -> Config:
    return from_document(
        {
            "systems": {
                "shop": {"kind": "bitrix_cms", "url": "https://shop.example/rest/1/a/"},
                "crm": {
                    "kind": "bitrix24",
                    "url": "https://crm.example/rest/1/a/",
                    "application_token": "t",
                    "integration_user": "1",
                    "settings": crm_settings,
                },
                "onec": {"kind": "events"},
            },
            "mappings": str(folder) if folder else None,
        },
        {},
    )


_TABLES = """
bitrix24:
  codes: {users: {"7": anna@example.ru}}
  names: {fields: {order_links: crm.orderentity}, party_fields: {credit_terms: UF_CRM_CREDIT_TERMS}}
"""


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """What is shipped, for a shop and a portal on one box: its links of deals to orders are on."""
    folder = tmp_path_factory.mktemp("one_box")
    (folder / "tables.yaml").write_text(_TABLES, encoding="utf-8")
    return Registry(config_of(folder))


@pytest.fixture
def registry(shipped: Registry) -> Registry:
    return shipped


@pytest.fixture
def crm(registry: Registry) -> CodeTables:
    return registry.tables("crm", "bitrix24")


@pytest.fixture
def shop(registry: Registry) -> CodeTables:
    return registry.tables("shop", "bitrix_cms")


class Overlay:
    """A user's own mappings folder; `registry` reads it anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, text: str, name: str = "tables.yaml") -> "Overlay":
        (self.folder / name).write_text(text, encoding="utf-8")
        return self

    def config(self, **crm_settings: str) -> Config:
        return config_of(self.folder, **crm_settings)

    def registry(self, **crm_settings: str) -> Registry:
        return Registry(self.config(**crm_settings))


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    return Overlay(tmp_path)
