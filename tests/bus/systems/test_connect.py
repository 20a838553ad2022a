from typing import Any

import fakeredis
import pytest
from pydantic import SecretStr

from bus.config import System
from bus.errors import ConfigError
from bus.ports import Adapter
from bus.systems.connect import Urgent, connect


def test_a_kind_has_its_adapter_and_nothing_is_connected_yet(connected: Any) -> None:
    made: list[Adapter] = [
        connected(kind, "http://no-such-host.invalid/rest/1/x/") for kind in ("bitrix24", "bitrix_cms")
    ]
    assert [(one.kind, one.system) for one in made] == [("bitrix24", "there"), ("bitrix_cms", "there")]


def test_a_1c_base_has_its_adapter_and_nothing_is_connected_yet(connected: Any) -> None:
    login = {"user": "bus", "password": SecretStr("p")}
    made: Adapter = connected("onec", "http://no-such-host.invalid/b/odata/", **login)
    assert (made.kind, made.system, made.latency_s) == ("onec", "there", 0)
    with pytest.raises(ConfigError, match=r"settings\.configuration: 'uh' is not known"):
        connected("onec", "http://no-such-host.invalid/b/odata/", settings={"configuration": "uh"}, **login)


def test_a_system_that_only_sends_events_has_none() -> None:
    with pytest.raises(ConfigError, match="onec"):
        connect("onec", System(kind="events", keys=[SecretStr("whsec_x")]), fakeredis.FakeRedis())


def test_an_urgent_copy_may_use_the_reserve_that_bulk_may_not(connected: Any, portal_url: str, portal: Any) -> None:
    del portal
    rate = {"per_second": 0.001, "burst": 3, "payments_reserve": 2}
    crm: Urgent = connected("bitrix24", portal_url, rate=rate)
    crm.codes("deal_stage")
    assert [finding.ok for finding in crm.check()] == [False]
    assert crm.with_urgency(urgent=True).codes("deal_stage")
