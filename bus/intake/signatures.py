"""Signatures and tokens: who sent this body, proven by one of the keys that a system may sign with, or by its token.

Signatures are those of Standard Webhooks. The library makes the signature that a body should have; its verify() is not
used because it reads the clock itself and runs a stranger's headers through unguarded decoders, once per key. A system
has several keys, or tokens, while one is rotated.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from standardwebhooks import Webhook

from bus.config import Config
from bus.errors import ConfigError
from bus.intake.problems import Refused, unauthorized

TOLERANCE = timedelta(minutes=5)
MAX_SIGNATURES = 16
"""A sender that rotates its key signs with both; more than a handful is no sender of ours."""
MIN_KEY_BYTES = 24
"""https://www.standardwebhooks.com: keys have 24 to 64 bytes. It catches whsec_changeme too."""

_SECONDS = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class _Claim:
    """The three headers, read but not believed."""

    id: str
    at: datetime
    signatures: tuple[bytes, ...]


class Keyring:
    """The keys and tokens of all systems: those that are in force now."""

    def __init__(self, config: Config, now: Callable[[], datetime]) -> None:
        """Raises ConfigError for a key that is none, or that two systems share: the key says who the sender is."""
        self._now = now
        self._keys, self._tokens = _keys(config), _tokens(config)

    def follow(self, config: Config) -> Callable[[], None]:
        """Get ready for other keys and tokens; what is returned puts them in force. Raises ConfigError as above."""
        keys, tokens = _keys(config), _tokens(config)

        def take() -> None:
            self._keys, self._tokens = keys, tokens

        return take

    def bears(self, system: str, token: str) -> bool:
        """Is that a token of the system? Compared in constant time; an absent one is never right."""
        given = token.encode()
        found = [hmac.compare_digest(given, own) for own in self._tokens.get(system, ())]
        return bool(given) and any(found)

    def look(self, headers: Mapping[str, str]) -> None:
        """Before a body is read: is there a signature of these minutes at all? Raises Refused 401."""
        self._claim(headers)

    def sender(self, headers: Mapping[str, str], body: str, system: str | None = None) -> str:
        """The system whose key signed `body`; with `system`, only its keys count. Raises Refused 401."""
        claim = self._claim(headers)
        keys = self._keys if system is None else {system: self._keys[system]}
        for name, own in keys.items():
            if any(_signed(key, claim, body) for key in own):
                return name
        raise _refused("webhook-signature: no key that is in force made it")

    def _claim(self, headers: Mapping[str, str]) -> _Claim:
        id_, seconds, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not (id_ and seconds and signatures):
            raise _refused("webhook-id, webhook-timestamp and webhook-signature must all be there")
        if not _SECONDS.fullmatch(seconds) or abs(self._now() - _time(seconds)) > TOLERANCE:
            raise _refused("webhook-timestamp is not within 5 minutes of now, in seconds since 1970")
        given = signatures.split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]
        return _Claim(id_, _time(seconds), tuple(signature.encode() for signature in given))


def _keys(config: Config) -> dict[str, list[Webhook]]:
    owners: dict[bytes, str] = {}
    found: dict[str, list[Webhook]] = {}
    for system, part in config.systems.items():
        places = {f"systems.{system}.keys.{at}": key.get_secret_value() for at, key in enumerate(part.keys)}
        some = any(places.values())  # beside another an empty one is none yet: "${KEY_NEXT:-}"
        secrets = {where: _secret(key, where) for where, key in places.items() if key or not some}
        for where, secret in secrets.items():
            if owners.setdefault(secret, system) != system:
                raise ConfigError(f"{where}: {owners[secret]} has the same key; make a new one")
        found[system] = [Webhook(secret) for secret in secrets.values()]
    return found


def _tokens(config: Config) -> dict[str, list[bytes]]:
    systems = config.systems.items()
    return {name: [token.get_secret_value().encode() for token in part.tokens] for name, part in systems}


def _signed(key: Webhook, claim: _Claim, body: str) -> bool:
    expected = key.sign(msg_id=claim.id, timestamp=claim.at, data=body).encode()
    return any(hmac.compare_digest(expected, signature) for signature in claim.signatures)


def _time(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _secret(key: str, where: str) -> bytes:
    encoded = key.removeprefix("whsec_").rstrip("=")
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        secret = b""
    if len(secret) < MIN_KEY_BYTES:
        raise ConfigError(f"{where}: not a key: write whsec_ and at least {MIN_KEY_BYTES} random bytes in base64")
    return secret


def _refused(message: str) -> Refused:
    return unauthorized(message, "StandardWebhooks")
