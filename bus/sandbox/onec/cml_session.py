"""The steps of the protocol as each profile takes them: checkauth, init, query, success, file, import, info."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bus.sandbox.onec.cml_faults import Faults
from bus.sandbox.onec.cml_http import Reply, Request, Wire, WireError
from bus.sandbox.onec.cml_profile import UNLIMITED, Profile

_SESSID = "sessid="
_MOST_PROGRESS = 2000
_STALE = "0" * 26


class Refused(Exception):
    """The exchange cannot go on: what 1C writes to its log. `step` is the mode in which it happened."""

    def __init__(self, step: str, text: str) -> None:
        super().__init__(text)
        self.step = step
        self.text = text


@dataclass(frozen=True)
class Asked:
    """One request of a run, for whoever looks at it afterwards; its status is 0 when nothing came back."""

    verb: str
    query: str
    status: int
    cookie: str
    sent: int


@dataclass
class Login:
    """What checkauth gave: the one cookie, and what goes to the end of every later query."""

    cookie: str = ""
    suffix: str = ""


@dataclass(frozen=True)
class Params:
    """What init gave. `limit` in bytes; -1 and 0: send it in one piece."""

    zipped: bool
    limit: int
    version: str = ""


class Session:
    """One run's talk with the site. Every method raises Refused when 1C would give the run up there."""

    def __init__(
        self,
        wire: Wire,
        profile: Profile,
        *,
        faults: Faults,
        sleep: Callable[[float], None],
        sends_sessid: bool = True,
    ) -> None:
        self._wire = wire
        self._profile = profile
        self._faults = faults
        self._sleep = sleep
        self._sends_sessid = sends_sessid
        self._login = Login()
        self.asked: list[Asked] = []

    def checkauth(self, kind: str = "sale") -> None:
        """Log in; the cookie's name and value are taken untrimmed, as lines 2 and 3 stand."""
        self._login = Login()
        lines = self._lines("checkauth", kind)
        if not _is_success(lines[0]):
            raise Refused("checkauth", "no connection with the server; check the user's name and password")
        name, value, token = [*lines[1:4], "", "", ""][:3]
        self._login = Login(f"{name}={value}" if name else "", self._sessid(token))

    def init(self, kind: str = "sale") -> Params:
        """Learn the parameters; UT takes an answer of exactly two lines."""
        lines = self._lines("init", kind)
        fewest, most = self._profile.init_lines
        if len(lines) < fewest or (most is not None and len(lines) > most):
            raise Refused("init", f"the exchange parameters cannot be read: {len(lines)} lines")
        told = dict(_pair(line) for line in lines)
        return Params(told.get("zip") == "yes", _limit(told.get("file_limit", "")), told.get("version", ""))

    def query(self) -> str:
        """The site's orders as text that begins as XML."""
        reply = self._again_if_cut(lambda: self._get("query"))
        text = self._reading(reply)
        if text.startswith("<?xml") or (self._profile.patient and text.startswith("<КоммерческаяИнформация")):
            return text
        if self._profile.patient and text.lstrip().startswith("failure"):
            raise Refused("query", f"the site refused: {_tail(text)}")
        raise Refused("query", "the answer is neither XML nor an archive")

    def success(self) -> None:
        """Tell the site that its orders are loaded."""
        lines = self._lines("success")
        if not self._profile.trusts_failed_success and not _is_success(lines[0]):
            raise Refused("success", f"the site refused: {_tail(chr(10).join(lines))}")

    def file(self, name: str, content: bytes, params: Params, kind: str = "sale") -> None:
        """Send one file in chunks of the site's limit, all under the same name."""
        for chunk in chunks(content, params.limit):
            lines = _split(self._post(name, chunk, kind))
            if not _is_success(lines[0]):
                raise Refused("file", f"the file was not taken: {_tail(chr(10).join(lines))}")

    def finish(self, name: str, kind: str = "sale") -> None:
        """Have one file imported; asks again as long as the site says progress."""
        for _ in range(_MOST_PROGRESS):
            lines = self._lines("import", kind, f"&filename={name}")
            word = lines[0].strip().lower()
            if word == "success":
                return
            if word != "progress":
                raise Refused("import", f"the file was not imported: {_tail(chr(10).join(lines))}")
            if self._profile.pause:
                self._sleep(self._profile.pause)
        raise Refused("import", "the import does not come to an end")

    def info(self) -> str:
        """The site's statuses, pay systems and deliveries, as XML text."""
        return self._text(self._get("info"), "info")

    def _lines(self, step: str, kind: str = "sale", more: str = "") -> list[str]:
        return _split(self._text(self._get(step, kind, more), step))

    def _text(self, reply: Reply, step: str) -> str:
        """The body, at any status; an empty or partial one is a failure."""
        if not reply.whole:
            raise Refused(step, "the answer broke off")
        if not reply.body:
            raise Refused(step, "the server's answer is empty")
        return reply.text()

    def _reading(self, reply: Reply) -> str:
        """BUS reads UTF-8 whatever the header says, BOM or none; UNF has second thoughts about broken text."""
        text = self._text(reply, "query")
        if self._profile.charset:
            return reply.text(self._profile.charset)
        return _other_charsets(reply, text) if self._profile.patient and "\ufffd" in text else text

    def _again_if_cut(self, ask: Callable[[], Reply]) -> Reply:
        reply = ask()
        return ask() if self._profile.patient and not reply.whole else reply

    def _get(self, step: str, kind: str = "sale", more: str = "") -> Reply:
        deaf = self._faults.take("lost_answer", step) is not None
        return self._ask(step, Request("GET", self._query(step, kind, more), self._login.cookie, deaf=deaf))

    def _post(self, name: str, chunk: bytes, kind: str) -> str:
        cut = self._faults.take("cut_chunk", "file")
        lie = self._faults.take("wrong_charset", "file")
        request = Request(
            "POST",
            self._query("file", kind, f"&filename={name}"),
            self._login.cookie,
            chunk,
            f"application/xml; charset={lie.extra.get('charset', 'windows-1251')}"
            if lie
            else self._profile.content_type,
            cut_at=int(len(chunk) * float(cut.extra.get("at", 0.5))) if cut else None,
            deaf=self._faults.take("lost_answer", "file") is not None,
        )
        return self._text(self._ask("file", request), "file")

    def _ask(self, step: str, request: Request) -> Reply:
        try:
            reply = self._wire.ask(request)
        except WireError as error:
            self._note(request, 0)
            raise Refused(step, str(error)) from error
        self._note(request, reply.status)
        return reply

    def _note(self, request: Request, status: int) -> None:
        self.asked.append(Asked(request.verb, request.query, status, request.cookie, len(request.body or b"")))

    def _query(self, step: str, kind: str, more: str) -> str:
        """`type`, `mode`, the version where this profile names it, what the step adds, the sessid."""
        if step != "checkauth" and self._faults.take("stale_session", step):
            name = self._login.cookie.partition("=")[0]
            self._login = Login(f"{name}={_STALE}", self._sessid(_SESSID + _STALE) if self._login.suffix else "")
        version = f"&{self._profile.version}" if step in self._profile.version_at else ""
        return f"type={kind}&mode={step}{more}{version}{self._login.suffix}"

    def _sessid(self, line: str) -> str:
        if not self._sends_sessid:
            return ""
        if self._profile.strips_sessid:
            return f"&{_SESSID}{line.replace(_SESSID, '')}"
        return f"&{line}" if line else ""


def chunks(content: bytes, limit: int) -> Iterator[bytes]:
    """The pieces of a file; one piece when the site set no limit, or 0."""
    step = limit if limit > 0 else max(len(content), 1)
    for start in range(0, max(len(content), 1), step):
        yield content[start : start + step]


def _split(text: str) -> list[str]:
    """Lines as 1C counts them: by LF alone, and an LF at the end makes one more."""
    return text.split("\n")


def _is_success(line: str) -> bool:
    return line.strip().lower() == "success"


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.strip().lower(), value.strip()


def _limit(text: str) -> int:
    return int(text) if text.isdigit() else UNLIMITED


def _tail(text: str) -> str:
    """What the site said besides the first word, kept short for the log."""
    return " ".join(text.split())[:200]


def _other_charsets(reply: Reply, text: str) -> str:
    """UNF's second thoughts about broken text: windows-1251, then UTF-8."""
    for charset in ("windows-1251", "utf-8"):
        again = reply.text(charset)
        if "\ufffd" not in again:
            return again
    return text
