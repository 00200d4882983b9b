"""How many workers a server has."""

import os

import msgspec
import pytest

from strongroom.cli.serve import _workers
from strongroom.settings import Settings


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (60, 60), (61, 60), (256, 60)])
def test_there_is_one_worker_for_each_core_that_a_setting_can_name(
    cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(cores)))
    settings = msgspec.structs.replace(Settings(), workers=_workers(Settings()))
    assert settings.workers == workers
    # Its supervisor sends each worker the settings in this form.
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings


def test_the_setting_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(2)))
    assert _workers(Settings(workers=7)) == 7
