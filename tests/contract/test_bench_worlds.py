"""The data folders that benchmarks fill: what is measured on them must be what a server would have."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def test_every_record_is_as_a_server_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.delitem(sys.modules, "worlds", raising=False)
    from worlds import ACCOUNT, REGION, add_granted_key, add_keys, opened  # noqa: PLC0415 - not on the path before

    add_keys(tmp_path / "keys", 3)
    add_granted_key(tmp_path / "grants", "AIDAALICE", 3)
    for name in ("keys", "grants"):
        with opened(tmp_path / name) as deployment, deployment.backends.store.read() as reader:
            assert list(reader.findings(lambda *_: True)) == []
            assert reader.customer_keys(ACCOUNT, REGION) == len(reader.keys(ACCOUNT, REGION, "", 9))
