"""Basic logins of the 1C that exchange with us as with a site: which of them speaks."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from hashlib import sha256

from bus.config import Config
from bus.errors import ConfigError

KIND = "commerceml"
_ENCODINGS = ("utf-8", "cp1251")
"""1C sends a Cyrillic login in the one or the other, by its version (facts 7.6)."""


class Logins:
    """The logins of every exchanging 1C. Raises ConfigError when two have one user: the login says who it is."""

    def __init__(self, config: Config) -> None:
        self._known = _known(config)

    def follow(self, config: Config) -> Callable[[], None]:
        """Get ready for other logins; what is returned puts them in force. Raises ConfigError as above."""
        known = _known(config)

        def take() -> None:
            self._known = known

        return take

    def __bool__(self) -> bool:
        """Is there any?"""
        return bool(self._known)

    def system(self, authorization: str | None) -> str | None:
        """The system whose login an Authorization header bears. As long as it takes whatever is wrong with it."""
        given, found = _digest(_given(authorization)), None
        for name, known in self._known:
            if hmac.compare_digest(given, known):
                found = name
        return found


def _known(config: Config) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    owners: dict[str, str] = {}
    for name, system in config.systems.items():
        if system.kind != KIND or system.user is None or system.password is None:
            continue
        if (owner := owners.setdefault(system.user, name)) != name:
            raise ConfigError(f"systems.{name}.user: {owner} has the same one; give each 1C a user of its own")
        login = f"{system.user}:{system.password.get_secret_value()}"
        found += [(name, _digest(raw)) for raw in _written(login)]
    return found


def _given(authorization: str | None) -> bytes:
    """The bytes "user:password"; none where the header is missing or is none."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _written(login: str) -> set[bytes]:
    """The login in every encoding that can write it."""
    found = set()
    for encoding in _ENCODINGS:
        try:
            found.add(login.encode(encoding))
        except UnicodeEncodeError:
            continue
    return found


def _digest(raw: bytes) -> bytes:
    """Of one length, so that comparing tells nothing of it."""
    return sha256(raw).digest()
