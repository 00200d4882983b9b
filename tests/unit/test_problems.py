"""Open problems: logged once, told by every worker of the node, and gone when they have ended."""

import logging
from pathlib import Path

import pytest

from strongroom.problems import Problem, Problems, Subject, clear


def test_a_problem_is_logged_once_and_again_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems()
    with caplog.at_level(logging.INFO):
        problems.report(Subject.CLOCK, "the clock jumped")
        problems.report(Subject.CLOCK, "the clock jumped")
        problems.report(Subject.CLOCK, "the clock jumped again")
        problems.resolve(Subject.CLOCK)
        problems.resolve(Subject.CLOCK)
    assert caplog.messages == ["the clock jumped", "the clock jumped again", "no longer so: the clock jumped again"]
    assert problems.current() == []


def test_every_worker_tells_of_the_problems_of_all(tmp_path: Path) -> None:
    first, second = Problems(tmp_path / "problems", "w0"), Problems(tmp_path / "problems", "w1")
    first.report(Subject.STORE, "the disk is full")
    second.report(Subject.STORE, "the disk is full")
    second.report(Subject.ROWS, "a row is damaged")
    both = [Problem(Subject.ROWS, "a row is damaged"), Problem(Subject.STORE, "the disk is full")]
    assert first.of_node() == second.of_node() == both
    second.close()
    assert first.of_node() == [Problem(Subject.STORE, "the disk is full")]


def test_half_a_file_of_another_worker_is_left_out(tmp_path: Path) -> None:
    problems = Problems(tmp_path, "w0")
    (tmp_path / "w1").write_bytes(b'[{"subject":')
    (tmp_path / "w3").write_bytes(b'[{"subject":"store","text":"\xff"}]')
    (tmp_path / "w2.new").write_bytes(b'[{"subject":"store","text":"the draft of a worker that was killed"}]')
    assert problems.of_node() == []


def test_a_start_forgets_what_killed_workers_left(tmp_path: Path) -> None:
    Problems(tmp_path, "w0").report(Subject.STORE, "the disk is full")
    clear(tmp_path)
    assert Problems(tmp_path, "w1").of_node() == []


def test_a_folder_that_cannot_be_written_hides_no_problem(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems(tmp_path / "problems", "w0")
    (tmp_path / "problems" / "w0").unlink()
    (tmp_path / "problems").rmdir()
    problems.report(Subject.STORE, "the disk is full")
    assert problems.current() == problems.of_node() == [Problem(Subject.STORE, "the disk is full")]
    assert "cannot write" in caplog.messages[0]
