"""``strongroom doctor`` on a data folder that is in order, served, killed, rolled back, or damaged at random."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from campaign import seeded
from clients import client_of, client_with, credentials_of
from damage import How, choose, inflict
from examinations import EXIT_CODES, Prepared, change, clock_set, content_of, copied, examine, flip, prepare, run_doctor
from local_server import running_server
from scrapes import scrape_until
from strongroom.assembly.doctor.table import CHECKS
from tls_files import self_signed

NAMES = [check.name for check in CHECKS]
SLOW = ["records", "audit-log"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("doctor"))


def test_a_folder_that_is_in_order(prepared: Prepared) -> None:
    before = content_of(prepared.data)
    found = examine(prepared.data)
    assert (found.exit_code, found.wrong) == (0, {})
    assert "the material of 4 keys opens" in found.told("records")
    assert "the last one was made 0.0 days ago" in found.told("backup")
    assert "1 will be deleted" in found.told("keys")
    assert content_of(prepared.data) == before


def test_a_folder_that_no_server_has_used_yet_only_lacks_a_backup(tmp_path: Path) -> None:
    data = tmp_path / "data"
    succeed(data, "init", "--admin")
    found = examine(data)
    assert (found.exit_code, found.wrong) == (1, {"backup": "no backup was made"})
    assert found.told("clock") == "no server has used the folder yet"


def test_the_last_line_tells_what_is_critical_from_what_is_not(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    (data / "root.key").unlink()
    (data / "clock").unlink()
    last = run_doctor(data, "--quick").stdout.splitlines()[-1]
    assert re.fullmatch("CRITICAL: root-key; UNKNOWN: (.*)credentials(.*); WARNING: clock", last), last
    assert "clock" not in last.split("; ")[1]


def test_a_kind_of_request_that_there_is_not_is_found(prepared: Prepared, tmp_path: Path) -> None:
    settings = tmp_path / "strongroom.toml"
    settings.write_text("[[request-quotas]]\nrequests = 'symetric'\nper-second = 1\n")
    found = examine(prepared.data, "--quick", "--config", str(settings))
    assert found.status("settings") == "critical"
    assert "did you mean `symmetric`?" in found.told("settings")


def test_what_a_kill_left_is_in_order_and_stays_as_it_is(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.killed, tmp_path)
    before = content_of(data)
    found = examine(data)
    assert (found.exit_code, found.wrong) == (0, {})
    assert "the material of 5 keys opens" in found.told("records")
    after = content_of(data)
    assert after.keys() == before.keys()
    del before[str(data / "strongroom.db-shm")], after[str(data / "strongroom.db-shm")]
    assert after == before


def test_a_database_that_was_set_back(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    shutil.copy2(prepared.older / "strongroom.db", data)
    found = examine(data)
    assert (found.status("set-back"), found.exit_code) == ("critical", 2)
    assert "acknowledged changes are missing" in found.told("set-back")
    assert "strongroom database accept-older" in found.told("set-back")


def test_checks_that_cannot_run_say_so(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    (data / "root.key").unlink()
    found = examine(data)
    for check in ("records", "audit-log", "credentials"):
        assert (found.status(check), found.told(check)) == ("unknown", "not checked, because of what `root-key` says")
    for check in ("database", "set-back", "clock", "backup"):
        assert found.status(check) == "ok"


def test_an_unknown_outcome_has_an_exit_code_of_its_own(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    other = copied(prepared.older, tmp_path / "other")
    # All that is wrong with it is that the notes of the audit log cannot be read.
    for path in (other / "audit").iterdir():
        path.unlink()
    assert examine(other, "--quick").exit_code == 3
    assert examine(data, "--quick").exit_code == 0


def test_settings(prepared: Prepared, tmp_path: Path) -> None:
    config = tmp_path / "strongroom.toml"
    config.write_text("regions = 7")
    found = examine(prepared.data, "--config", str(config))
    assert (found.status("settings"), found.exit_code) == ("critical", 2)
    assert found.told("regions") == found.told("certificate") == "not checked, because of what `settings` says"
    assert found.status("records") == "ok"
    # Then the data folder is not known, unless it is named.
    config.write_text('data = "elsewhere"\nregions = 7')
    found = examine(None, "--config", str(config))
    assert found.document["data"] is None
    assert {found.status(name) for name in NAMES} == {"critical", "unknown"}
    found = examine(prepared.data, "--config", str(tmp_path / "missing.toml"))
    assert "missing.toml` cannot be read" in found.told("settings")


def test_regions_that_are_not_served(prepared: Prepared, tmp_path: Path) -> None:
    config = tmp_path / "strongroom.toml"
    config.write_text('regions = ["eu-west-1"]')
    found = examine(prepared.data, "--config", str(config))
    assert found.exit_code == 1
    assert found.told("regions").startswith("us-east-1 has 4 keys and is not served | add the Region")


@pytest.mark.parametrize(
    ("days", "status", "text"),
    [(5, "warning", "expires in"), (300, "ok", "expires at")],
)
def test_the_certificate(prepared: Prepared, tmp_path: Path, days: int, status: str, text: str) -> None:
    pair = self_signed(tmp_path / "tls", "server", days=days)
    config = tmp_path / "strongroom.toml"
    config.write_text(f'tls-cert = "{pair.certificate}"\ntls-key = "{pair.key}"')
    found = examine(prepared.data, "--quick", "--config", str(config))
    assert (found.status("certificate"), found.exit_code) == (status, EXIT_CODES[status])
    assert text in found.told("certificate")
    pair.key.write_text("")
    assert examine(prepared.data, "--quick", "--config", str(config)).status("certificate") == "critical"


def test_the_keys_of_an_issuer(prepared: Prepared, tmp_path: Path) -> None:
    config = tmp_path / "strongroom.toml"
    config.write_text('[[identity-providers]]\nissuer = "https://one.example.com"\njwks = "one.json"\n')
    found = examine(prepared.data, "--quick", "--config", str(config))
    assert (found.status("settings"), found.exit_code) == ("warning", 1)
    assert f"`{tmp_path}/one.json`, the jwks of `https://one.example.com`" in found.told("settings")


def test_the_age_of_the_last_backup(prepared: Prepared) -> None:
    found = examine(prepared.data, "--quick", "--backup-age", "0s")
    assert (found.exit_code, list(found.wrong)) == (1, ["backup"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--backup-age", "soon"), "`soon` is no duration such as 36h or 7d"),
        (("--archive", "/missing"), "'/missing' does not exist"),
        (("--fast",), "No such option"),
    ],
)
def test_a_wrong_option_is_no_outcome_of_a_check(prepared: Prepared, options: tuple[str, ...], text: str) -> None:
    refused = strongroom(prepared.data, "doctor", *options)
    assert refused.returncode == 3
    assert text in refused.stderr
    assert "Traceback" not in refused.stderr


def test_archives_are_verified_too(prepared: Prepared, tmp_path: Path) -> None:
    data, archive = copied(prepared.data, tmp_path), tmp_path / "archive"
    succeed(data, "audit", "archive", "--to", str(archive))
    assert "archived files were not read" in examine(data).told("audit-log")
    assert examine(data, "--archive", str(archive)).exit_code == 0
    flip(next(archive.iterdir()), 1000)
    assert examine(data).exit_code == 0
    assert examine(data, "--archive", str(archive)).status("audit-log") == "critical"


def test_lines_of_text(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    clock_set(data)
    done = run_doctor(data, "--quick")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert any(re.match(r"OK       folder: `.+`, node [0-9a-f]{12}$", line) for line in lines)
    (place,) = [number for number, line in enumerate(lines) if line.startswith("WARNING  clock: ")]
    assert lines[place + 1].startswith("           compare `date`")
    assert lines[-2:] == ["Left out by --quick: records, audit-log", "WARNING: clock"]
    assert run_doctor(prepared.data, "--quick").stdout.splitlines()[-1] == "OK: nothing is wrong"


def test_the_document_has_the_shape_that_is_documented(prepared: Prepared) -> None:
    document = examine(prepared.data, "--quick").document
    assert list(document) == ["version", "release", "time", "data", "status", "checks", "left_out"]
    assert document["version"] == 1
    assert document["left_out"] == SLOW
    assert document["data"] == str(prepared.data)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["time"])
    for each in document["checks"]:
        assert list(each) == ["check", "status", "text", "remedies", "seconds"]
        assert each["status"] in EXIT_CODES
        assert each["text"]
        assert isinstance(each["remedies"], list)
        assert each["seconds"] >= 0


def test_the_page_on_operations_has_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    section = page.partition("## Checking everything")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \| .+ \| (?:ok|warning|critical) \|$", section, re.MULTILINE) == NAMES


def test_beside_a_server(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        kms = client_of(server)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        found = examine(data)
        assert (found.exit_code, found.wrong) == (0, {})
        assert found.told("server") == "a server is using the data folder"
        assert "the material of 5 keys opens" in found.told("records")
        kms.encrypt(KeyId=key, Plaintext=b"x")
        assert server.stop() == 0
    assert "WARNING" not in (tmp_path / "log").read_text()


def test_problems_that_a_server_tells_of(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    options = ("--workers", "2", "--region", "eu-west-1", "--metrics-listen", "127.0.0.1:0")
    with running_server(data, tmp_path / "log", *options, environment={"STRONGROOM_KEEPER_INTERVAL": "3600"}) as server:
        # A round of the keeper that still runs would sign the call's line, and find the changed key.
        scrape_until(server, lambda found: found.sum("strongroom_keeper_rounds_total") == 2)
        client_with(server, "kms", credentials_of(server, "default"), region="eu-west-1").list_keys()
        for path in (data / "audit").iterdir():
            os.utime(path, (1e9, 1e9))
        change(data, "UPDATE kms_key SET deletion_at = 1000000000 WHERE deletion_at IS NOT NULL")
        found = examine(data, "--quick")
        assert (found.exit_code, found.status("problems")) == (1, "warning"), found.wrong
        assert "keys of Regions that are not served cannot be used" in found.told("problems")
        assert "lines older than 5 minutes are not signed" in found.told("audit-writers")
        assert "1 deletions of keys are overdue" in found.told("keys")
        assert server.stop() == 0
    assert examine(data, "--quick").told("problems") == "no server runs that could tell of any"


@pytest.mark.parametrize("how", How)
def test_random_damage_is_told_in_words(prepared: Prepared, tmp_path: Path, how: How) -> None:
    """What no check expects ends as ``unknown`` with the name of an error: there must be none of that."""
    chance = seeded(len(how))
    secrets = [
        json.loads((prepared.data / "root.key").read_text())["key"],
        *re.findall(r"secret_access_key = (.+)", (prepared.data / "credentials").read_text()),
    ]
    for round_ in range(8):  # 32 in all
        source = prepared.killed if round_ % 2 else prepared.data
        data = shutil.copytree(source, tmp_path / f"{round_}")
        damage = choose(data, chance, how)
        inflict(data, damage)
        done = run_doctor(data, "--json")
        assert "the check ended with" not in done.stdout, (str(damage), done.stdout)
        assert not any(secret in done.stdout for secret in secrets)
        document = json.loads(done.stdout)
        assert done.returncode == EXIT_CODES[document["status"]]
        assert [each["check"] for each in document["checks"]] == NAMES
