"""The three 1C clients that exchange with a site, and how strict each is: UT (also ERP), UNF, and the BUS module."""

from __future__ import annotations

from dataclasses import dataclass

UNLIMITED = -1


@dataclass(frozen=True)
class Profile:
    """What one configuration's site exchange sends and insists on."""

    name: str
    timeout: float
    """Seconds it waits for one answer."""
    version: str = ""
    """The dialect it announces in the query string; UT announces none."""
    version_at: frozenset[str] = frozenset()
    """The modes whose query carries `version`."""
    init_lines: tuple[int, int | None] = (2, None)
    """The fewest and the most lines that it takes as an answer to init."""
    strips_sessid: bool = False
    """Takes `sessid=` off line 4 and puts it on again, even with nothing behind it; others send the line as it is."""
    init_before_query: bool = True
    logs_in_twice: bool = False
    """Orders out begin with a checkauth of their own, and a failed intake does not stop them."""
    pause: float = 5.0
    """Seconds between two imports while the site answers progress."""
    patient: bool = False
    """Tries other charsets when the text is broken, and asks once more after a partial transfer."""
    trusts_failed_success: bool = False
    """Takes any answer to success that is not empty."""
    charset: str = ""
    """Reads the orders in it, whatever the answer's header says; "": as the header says."""
    content_type: str = "application/octet-stream"


UT = Profile(
    name="ut",
    timeout=180.0,
    init_lines=(2, 2),
    strips_sessid=True,
    init_before_query=False,
    logs_in_twice=True,
    pause=0.0,
    trusts_failed_success=True,
    content_type="application/x-www-form-urlencoded",  # nobody meant a form; a site that parses it as one is wrong
)
UNF = Profile(
    name="unf",
    timeout=1800.0,
    version="version=2.09&cmlVersion=2.10",
    version_at=frozenset({"checkauth", "init", "query", "success", "file", "import", "info"}),
    patient=True,
)
BUS = Profile(name="bus", timeout=600.0, version="version=3.1", version_at=frozenset({"init"}), charset="utf-8-sig")

PROFILES = {profile.name: profile for profile in (UT, UNF, BUS)}
