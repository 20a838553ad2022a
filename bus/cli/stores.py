"""The two stores as `bus check` looks at them: can they be reached, and are they who they should be?"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from bus.config import Settings
from bus.errors import Transient
from bus.ports import Finding

_CONNECT_S = 5
_DISTRUST = ("certificate verify failed", "does not match host name", "certificate is not valid for")
"""How OpenSSL, libpq and Python's ssl say it."""


def reach_ledger(url: str) -> None:
    """Raises Transient in plain words; a pool would only say that it waited."""
    try:
        psycopg.connect(url, connect_timeout=_CONNECT_S).close()
    except psycopg.Error as error:
        say = "name the CA that signed it in sslrootcert of BUS_DATABASE_URL, and the host as it is called in it"
        raise _plain("the ledger", error, say) from None


def reach_broker(client: Redis) -> None:
    """Raises Transient in plain words."""
    try:
        client.ping()
    except RedisError as error:
        say = "name the CA that signed it in ssl_ca_certs of BUS_BROKER_URL, and the host as it is called in it"
        raise _plain("the broker", error, say) from None


def _plain(store: str, error: Exception, say: str) -> Transient:
    lines = [line for line in str(error).splitlines() if line.strip()]
    why = lines[0] if lines else type(error).__name__
    if any(words in str(error) for words in _DISTRUST):
        return Transient(f"{store} was not spoken to: its certificate cannot be trusted; {say} ({why})")
    return Transient(f"{store} cannot be used: {why}")


def looks_at_certificates(settings: Settings) -> Iterator[Finding]:
    """Where an address asks for TLS: whether it asks who is at the other end. Silent without TLS."""
    mode = _asked(settings.database(), "sslmode")
    if mode not in ("", "disable", "allow", "prefer"):
        yield _finding("ledger", mode == "verify-full", "sslmode=verify-full", "BUS_DATABASE_URL")
    if urlsplit(settings.broker()).scheme == "rediss":
        asked = _asked(settings.broker(), "ssl_cert_reqs").lower().removeprefix("cert_")
        name = _asked(settings.broker(), "ssl_check_hostname").lower()
        ok = asked in ("", "required") and name != "false"
        yield _finding("broker", ok, "ssl_cert_reqs=required, without ssl_check_hostname=false", "BUS_BROKER_URL")


def _finding(store: str, ok: bool, wanted: str, variable: str) -> Finding:
    fault = f"encrypted, but whoever answers is believed to be it: write {wanted} into {variable}"
    return Finding(f"{store} TLS", ok=ok, say="asked for, and who answers is looked at" if ok else fault)


def _asked(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query).get(name, [""])[-1]
