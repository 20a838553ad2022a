"""Methods every portal and shop has: profile, user.current, server.time, scope, app.info, method.get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox import times

if TYPE_CHECKING:
    from bus.sandbox.envelope import Params, Row
    from bus.sandbox.site import Hit, Method, Site

SCOPES = {"bitrix24": ["crm", "user", "department", "task", "tasks"], "bitrix_cms": ["sale", "catalog", "user"]}


def methods(site: Site) -> dict[str, Method]:
    """The system methods of one site."""

    def profile(params: Params, hit: Hit) -> Row:
        del params
        return {
            "ID": str(hit.user),
            "ADMIN": True,
            "NAME": "Bus",
            "LAST_NAME": "Integration",
            "TIME_ZONE": "Europe/Moscow",
        }

    def current(params: Params, hit: Hit) -> Row:
        del params
        return {
            "ID": str(hit.user),
            "ACTIVE": True,
            "NAME": "Bus",
            "LAST_NAME": "Integration",
            "EMAIL": "bus@example.com",
        }

    def server_time(params: Params, hit: Hit) -> str:
        del params, hit
        return times.iso(site.clock())

    def scope(params: Params, hit: Hit) -> list[str]:
        del params, hit
        return SCOPES[site.kind]

    def app_info(params: Params, hit: Hit) -> Row:
        del params, hit
        license_ = "ru_project" if site.cloud else "ru_box"
        return {"SCOPE": SCOPES[site.kind], "LICENSE": license_, "LANGUAGE_ID": "en"}

    def method_get(params: Params, hit: Hit) -> Any:
        del hit
        known = str(params.get("name", "")).lower() in {*site.methods, "batch"}
        return {"isExisting": known, "isAvailable": known}

    return {
        "profile": profile,
        "user.current": current,
        "server.time": server_time,
        "scope": scope,
        "app.info": app_info,
        "method.get": method_get,
    }
