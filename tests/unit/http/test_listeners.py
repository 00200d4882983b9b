"""Only one server gets a port, whose workers share it."""

import contextlib
import socket
import threading

import pytest

from strongroom.http.listeners import claim_port, join_port

HOSTS = ["127.0.0.1", "0.0.0.0", "::1", "::"]  # noqa: S104 - addresses that a server may be given


@pytest.mark.parametrize("host", HOSTS)
def test_a_claimed_port_is_for_its_workers_alone(host: str) -> None:
    with claim_port(host, 0) as claim:
        port = claim.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on .*{port}: Address already in use"):
            claim_port(host, port)
        with join_port(host, port) as first, join_port(host, port) as second:
            first.listen()
            second.listen()
            with pytest.raises(OSError, match="Address already in use"):
                claim_port(host, port)
        # Between the end of all workers and the start of others, the port is not free either.
        with pytest.raises(OSError, match="Address already in use"):
            claim_port(host, port)
    claim_port(host, port).close()


def test_the_claim_itself_takes_no_connection() -> None:
    with claim_port("127.0.0.1", 0) as claim, pytest.raises(ConnectionRefusedError):
        socket.create_connection(claim.getsockname())


def test_all_connections_reach_the_worker_that_listens() -> None:
    with claim_port("127.0.0.1", 0) as claim, join_port(*claim.getsockname()) as worker:
        worker.listen()
        for _ in range(50):
            with socket.create_connection(claim.getsockname(), timeout=5), worker.accept()[0]:
                pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_of_many_at_one_moment_one_gets_it(host: str) -> None:
    for _ in range(50):
        with claim_port(host, 0) as free:
            port = free.getsockname()[1]
        barrier, claims, refusals = threading.Barrier(4), list[socket.socket](), list[OSError]()

        def claim(port: int = port, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                claims.append(claim_port(host, port))  # noqa: B023 - the threads end with the round
            except OSError as error:
                refusals.append(error)  # noqa: B023 - as above

        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with contextlib.ExitStack() as held:
            for each in claims:
                held.enter_context(each)
            assert (len(claims), len(refusals)) == (1, 3)


def test_a_port_that_is_freed_in_time_is_claimed() -> None:
    claim = claim_port("127.0.0.1", 0)
    timer = threading.Timer(0.2, claim.close)
    timer.start()
    claim_port(*claim.getsockname(), patience=10).close()
    timer.join()
