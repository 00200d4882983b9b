"""`strongroom events test` makes no file that the server of another user could not write to."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from strongroom.cli.main import main

NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write to the files of others")
def test_a_test_by_root_is_refused_where_the_server_has_another_user(tmp_path: Path) -> None:
    data, file, config = tmp_path / "data", tmp_path / "events", tmp_path / "strongroom.toml"
    data.mkdir(0o700)
    config.write_text(f'data = "{data}"\n[[events]]\nto = "file:{file}"\n')
    os.chown(data, NOBODY, NOBODY)
    refused = CliRunner().invoke(main, ["events", "test", "--config", str(config)])
    assert refused.exit_code == 2
    assert f"`{data}` belongs to user " in refused.output
    assert "run this as user" in refused.output
    assert not file.exists()
    os.chown(data, 0, 0)
    assert CliRunner().invoke(main, ["events", "test", "--config", str(config)]).exit_code == 0
    assert file.exists()
