"""Lines of `bus check` that every Bitrix webhook gets."""

from __future__ import annotations

from bus.ports import Finding
from bus.systems.bitrix_rest import Outcome, Result, rows_of


def user_finding(profile: Outcome, expected: str | None) -> Finding:
    """Whose webhook it is: the bus needs a user of its own, or it cannot tell its edits from a person's."""
    if not isinstance(profile, Result):
        return Finding("user", ok=False, say=str(profile))
    user = str(profile.value.get("ID"))
    if expected is None:
        return Finding("user", ok=False, say=f'the webhook acts as user {user}: say integration_user: "{user}"')
    say = f"the webhook acts as user {user}" + ("" if user == expected else f", integration_user says {expected}")
    return Finding("user", ok=user == expected, say=say)


def scope_finding(scope: Outcome, needed: str) -> Finding:
    """Whether the webhook has the scope that everything here needs."""
    if not isinstance(scope, Result):
        return Finding("scope", ok=False, say=str(scope))
    has = {str(one) for one in rows_of(scope.value, "scope")}
    missing = "" if needed in has else f"; tick {needed} in the webhook's settings"
    return Finding("scope", ok=needed in has, say=", ".join(sorted(has)) + missing)


def users_finding(scope: Outcome) -> Finding:
    """Whether the webhook may ask who works there: without it no counterparty has anybody in charge of it."""
    has = {str(one) for one in rows_of(scope.value, "scope")} if isinstance(scope, Result) else set()
    ok = bool(has & {"user", "user_basic", "user_brief"})
    say = "may be asked for" if ok else "tick user_basic in the webhook's settings: managers are told by their e-mails"
    return Finding("users", ok=ok, say=say)
