"""The manual page agrees with the commands, and troff has nothing to say against it."""

import subprocess

from built_wheel import ROOT
from man_page import page
from programs import program

PAGE = ROOT / "deploy" / "man" / "strongroom.1"


def test_the_page_is_that_of_the_commands() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "the commands have changed: run `make man`"


def test_no_text_of_a_command_is_taken_for_a_request_of_troff() -> None:
    done = subprocess.run(
        [program("groff", "groff-base"), "-man", "-ww", "-Tutf8", "-P-cbou", PAGE],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    shown = " ".join(done.stdout.split())
    assert "xks\N{HYPHEN-MINUS}proxy serve" in shown
    assert 'eval "$(strongroom completion bash)"' in shown
    assert "Verify, search and archive" not in shown, "a group that does nothing by itself has no section"
