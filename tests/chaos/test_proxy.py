"""The proxy: what goes through in each of its modes, and what becomes of connections that lived through one."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.proxy import Cut, Half, Hole, Link, Pass, Proxies, Slow

DEADLINE_S = 5.0
REPLY = b"x" * 10_000


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself, and `many` with ten thousand bytes; notes what came, and how it ended."""

    def handle(self) -> None:
        heard = self.server.heard
        try:
            for line in self.rfile:
                heard.append(line.strip())
                self.wfile.write(REPLY if line == b"many\n" else line)
        except OSError:
            heard.append(b"reset")
        heard.append(b"end")


@pytest.fixture
def echo() -> Iterator[socketserver.ThreadingTCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.heard, server.daemon_threads = [], True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def link(echo: socketserver.ThreadingTCPServer) -> Iterator[Link]:
    with Proxies() as proxies:
        yield proxies.open("echo", target=echo.server_address[1])


@pytest.fixture
def connect(link: Link) -> Iterator[Callable[[], socket.socket]]:
    made = []

    def begin() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", link.port), timeout=DEADLINE_S))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def ask(wire: socket.socket, line: bytes = b"hello\n") -> bytes:
    wire.sendall(line)
    return wire.recv(100)


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.005)


def rest(wire: socket.socket) -> bytes:
    """Everything until the end."""
    found = b""
    while some := wire.recv(100_000):
        found += some
    return found


def test_what_may_pass_passes_and_both_ends_hear_of_each_others_end(connect, echo) -> None:
    wire = connect()
    assert ask(wire) == b"hello\n"
    wire.close()
    until(lambda: echo.heard == [b"hello", b"end"])


def test_a_slow_link_delays_each_way(connect, link) -> None:
    link.become(Slow(delay_s=0.1))
    wire, begun = connect(), time.monotonic()
    assert ask(wire) == b"hello\n"
    assert time.monotonic() - begun >= 0.2


def test_a_slow_link_lets_no_more_through_than_it_says(connect, link) -> None:
    link.become(Slow(delay_s=0, bytes_s=50_000))
    wire, begun = connect(), time.monotonic()
    wire.sendall(b"many\n")
    while time.monotonic() - begun < DEADLINE_S and len(REPLY) > len(wire.recv(100_000, socket.MSG_PEEK)):
        pass
    assert time.monotonic() - begun >= 0.2


def test_a_cut_resets_who_is_connected_and_who_connects_until_it_is_mended(connect, link, echo) -> None:
    wire = connect()
    ask(wire)
    link.become(Cut())
    with pytest.raises(ConnectionResetError):
        wire.recv(1)
    with pytest.raises(ConnectionResetError):
        ask(connect())
    until(lambda: echo.heard[-1] in (b"end", b"reset"))
    link.become(Pass())
    assert ask(connect()) == b"hello\n"


def test_a_hole_swallows_in_silence_and_gives_back_to_who_waited(connect, link, echo) -> None:
    wire = connect()
    ask(wire)
    link.become(Hole())
    wire.sendall(b"again\n")
    wire.settimeout(0.1)
    with pytest.raises(TimeoutError):
        wire.recv(1)
    assert echo.heard == [b"hello"]
    link.become(Pass())
    wire.settimeout(DEADLINE_S)
    assert wire.recv(100) == b"again\n"


def test_what_was_sent_into_a_hole_by_someone_who_gave_up_never_arrives(connect, link, echo) -> None:
    wire = connect()
    ask(wire)
    link.become(Hole())
    wire.sendall(b"create it\n")
    wire.close()
    late = connect()
    late.sendall(b"create another\n")
    late.close()
    until(lambda: link.abandoned == 2)
    link.become(Pass())
    until(lambda: not link._open)
    assert ask(connect(), b"last\n") == b"last\n"
    assert [line for line in echo.heard if line.startswith(b"create")] == []


def test_half_an_answer_is_all_that_comes_back_and_the_server_has_heard_all(connect, link, echo) -> None:
    link.become(Half(after=1_000))
    wire = connect()
    wire.sendall(b"many\n")
    assert rest(wire) == REPLY[:1_000]
    assert echo.heard[0] == b"many"


def test_nobody_at_the_target_ends_the_connection_and_is_counted(link, connect) -> None:
    link.target = 1
    with pytest.raises(ConnectionResetError):
        ask(connect())
    assert link.failed == 1
