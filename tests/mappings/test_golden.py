import json
from pathlib import Path

import pytest

from bus.model import flatten
from mappings.check import shown

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_sample_says_what_is_written_down(path, registry):
    sample = json.loads(path.read_text(encoding="utf-8"))
    kind = registry.config.systems[sample["system"]].kind
    tables = registry.tables(sample["system"], kind)
    translator = registry.translator(kind, sample["record"])
    translation = translator.to_canonical(sample["raw"], tables)
    assert shown(translation) == sample["canonical"]
    assert translator.from_canonical(sample["fields"], sample["raw"], tables) == sample["written"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_a_sample_says_is_canonical_and_carried_and_writing_it_back_writes_nothing(path, registry):
    sample = json.loads(path.read_text(encoding="utf-8"))
    kind = registry.config.systems[sample["system"]].kind
    tables = registry.tables(sample["system"], kind)
    translator = registry.translator(kind, sample["record"])
    fields = flatten(translator.KIND, sample["canonical"]["data"])
    assert fields.keys() <= translator.carries(tables)
    assert translator.from_canonical(fields, sample["raw"], tables) == {}


def test_every_record_type_has_samples():
    assert {json.loads(path.read_text(encoding="utf-8"))["record"] for path in GOLDEN} >= {
        "deal",
        "party",
        "order",
        "payment",
    }
