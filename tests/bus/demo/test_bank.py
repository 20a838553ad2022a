"""The bank: tells until somebody takes it, and hears a refusal."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from bus.demo.bank import Bank, BankError
from bus.supervise import invented


class Intake(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def intake() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), Intake) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "taken"), [(202, True), (503, False), (429, False), (502, False)])
def test_it_knows_whether_it_was_heard(intake: http.server.HTTPServer, status: int, taken: bool) -> None:
    intake.status = status
    bank = Bank(f"http://127.0.0.1:{intake.server_address[1]}", invented.key())
    assert bank.paid("ПП-1", "1001", "10.00") is taken


def test_nobody_there_is_told_again_later() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not Bank(f"http://127.0.0.1:{closed.getsockname()[1]}", invented.key()).paid("ПП-1", "1001", "10.00")


def test_a_refusal_is_an_error(intake: http.server.HTTPServer) -> None:
    intake.status = 401
    bank = Bank(f"http://127.0.0.1:{intake.server_address[1]}", invented.key())
    with pytest.raises(BankError, match="answered 401"):
        bank.paid("ПП-1", "1001", "10.00")
