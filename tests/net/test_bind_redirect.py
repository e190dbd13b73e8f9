"""Whether a port leads into our own socket; a program that passes connections on plays the system's redirect."""

from __future__ import annotations

import socket

from devtls.net.bind import bind, is_redirected_here


def test_our_own_port_leads_to_us_and_nothing_is_left_in_the_queue() -> None:
    bound = bind(0)
    assert is_redirected_here(bound, bound.port)
    for sock in bound.sockets:
        try:
            sock.accept()
        except BlockingIOError:
            continue
        raise AssertionError("a connection was left")
    bound.close()


def test_a_port_that_somebody_else_answers_does_not() -> None:
    bound = bind(0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert not is_redirected_here(bound, other.getsockname()[1])
    bound.close()


def test_a_port_that_nobody_answers_does_not() -> None:
    bound, free = bind(0), bind(0)
    free.close()
    assert not is_redirected_here(bound, free.port)
    bound.close()


def test_one_family_that_leads_elsewhere_is_enough() -> None:
    """The addresses of a name are tried in turn: half a redirect sends people away half of the time."""
    bound = bind(0)
    bound.sockets[1].close()
    bound.sockets[1] = bind(0, ["::1"]).sockets[0]
    assert not is_redirected_here(bound, bound.port)
    bound.close()


def test_whoever_came_before_does_not_confuse_it() -> None:
    bound = bind(0)
    with socket.create_connection(("127.0.0.1", bound.port)) as before:
        assert is_redirected_here(bound, bound.port)
        before.settimeout(5)
        assert before.recv(1) == b""  # dropped; nothing is served yet
    bound.close()
