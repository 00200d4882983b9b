"""`strongroom ready` says what a server answers at /readyz, or in one line why there is no answer."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from strongroom.cli.main import main
from strongroom.http.listeners import claim_port
from strongroom.server.sealed_listener import SealedListener
from strongroom.server.tls import Tls
from strongroom.settings import Settings
from tls_files import Pair, self_signed


@contextmanager
def sealed_server(pair: Pair | None = None) -> Iterator[int]:
    """Answer as a server does that waits for a seal; yield the port."""
    settings = Settings() if pair is None else Settings(tls_cert=str(pair.certificate), tls_key=str(pair.key))
    with closing(claim_port("127.0.0.1", 0)) as claim:
        port = claim.getsockname()[1]
        with SealedListener("no seal opens", Tls(settings).context).listening("127.0.0.1", port):
            yield port


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Runner":
    monkeypatch.chdir(tmp_path)
    return Runner()


class Runner:
    """Runs the command in a folder without settings.

    It is run as the program runs it: click remembers the options for help of the first time.
    """

    def __call__(self, *arguments: str, **environment: str) -> Result:
        return CliRunner(env={**os.environ, **environment}).invoke(main, ["ready", *arguments])


def test_a_server_that_is_not_ready_says_why(run: Runner) -> None:
    with sealed_server() as port:
        result = run("--listen", f"127.0.0.1:{port}")
    assert (result.exit_code, result.output) == (1, "sealed: no seal opens\n")


def test_a_server_that_listens_everywhere_is_asked_here(run: Runner) -> None:
    with sealed_server() as port:
        result = run(STRONGROOM_LISTEN=f"0.0.0.0:{port}", STRONGROOM_ALLOW_PLAINTEXT="true")
    assert result.output == "sealed: no seal opens\n"


def test_the_name_in_a_certificate_does_not_matter(run: Runner, tmp_path: Path) -> None:
    pair = self_signed(tmp_path / "tls", "elsewhere")
    with sealed_server(pair) as port:
        result = run(
            STRONGROOM_LISTEN=f"127.0.0.1:{port}",
            STRONGROOM_TLS_CERT=str(pair.certificate),
            STRONGROOM_TLS_KEY=str(pair.key),
        )
    assert (result.exit_code, result.output) == (1, "sealed: no seal opens\n")


def test_no_server_and_a_server_with_tls_are_one_line(run: Runner, tmp_path: Path) -> None:
    with closing(claim_port("127.0.0.1", 0)) as claim:
        port = claim.getsockname()[1]
    result = run("--listen", f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert result.output == f"no answer from http://127.0.0.1:{port}/readyz: [Errno 111] Connection refused\n"
    with sealed_server(self_signed(tmp_path / "tls", "server")) as port:
        result = run("--listen", f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert result.output.startswith(f"no answer from http://127.0.0.1:{port}/readyz: ")
    assert result.output.count("\n") == 1


def test_a_port_that_is_not_known_is_asked_for(run: Runner) -> None:
    result = run("--listen", "127.0.0.1:0")
    assert result.exit_code == 2
    assert "give it with --listen" in result.output


def test_the_answer_for_programs(run: Runner) -> None:
    with sealed_server() as port:
        result = run("--listen", f"127.0.0.1:{port}", "--json")
    assert json.loads(result.output) == {"ready": False, "answered": True, "text": "sealed: no seal opens"}
