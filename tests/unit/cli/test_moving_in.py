"""Mistakes in the options of ``strongroom import aws`` and ``strongroom migrate-ciphertexts``."""

import click
import pytest
from click.testing import CliRunner

from strongroom.cli.data_folder import readable_errors
from strongroom.cli.import_keys import _told_how_far
from strongroom.cli.main import main
from strongroom.errors import WriteOutcomeUnknown

MIGRATE = ("migrate-ciphertexts", "--to-key", "x", "--dry-run")
MISTAKES = [
    (("import", "aws", "--profile", "missing"), 1, "Error: there is no AWS profile `missing`"),
    (("import", "aws", "--endpoint-url", "kms.example.com"), 1, "`kms.example.com` is no URL of a service"),
    (("import", "aws", "--endpoint-url", "a\nError: b"), 1, r"`a\nError: b` is no URL of a service"),
    ((*MIGRATE, __file__, "--from-endpoint-url", "a\nError: b"), 1, r"`a\nError: b` is no URL of a service"),
    (("import", "aws", "--from", __file__), 1, "is no export of keys"),
    (("import", "aws", "--from", __file__, "--profile", "x"), 2, "--from reads a file"),
    (("import", "aws", "--material", "key"), 2, "`key` lacks the file: KEYID=FILE"),
    (("import", "aws", "--material", "key=/missing"), 1, "`/missing` cannot be used: No such file or directory"),
    (("migrate-ciphertexts", __file__, "--to-key", "x"), 2, "give --journal FILE to migrate, or --dry-run"),
    ((*MIGRATE, "--journal", "x", __file__), 2, "give --journal FILE to migrate, or --dry-run"),
    (MIGRATE, 2, "name either files and folders, or --database, or --bucket"),
    ((*MIGRATE, __file__, "--bucket", "x"), 2, "name either files and folders, or --database, or --bucket"),
    ((*MIGRATE, __file__, "--context", "x"), 2, "`x` is not NAME=VALUE"),
    ((*MIGRATE, __file__, "--to-context", "=x"), 2, "`=x` is not NAME=VALUE"),
    ((*MIGRATE, "--database", "sqlite://"), 2, "--database needs --table, --column and --key-column"),
    ((*MIGRATE, __file__, "--table", "x"), 2, "--table, --column and --key-column need --database"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES)
def test_a_mistake_is_said_in_one_line(arguments: tuple[str, ...], code: int, message: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code
    assert message in done.output
    assert sum(line.startswith("Error: ") for line in done.output.splitlines()) == 1


@pytest.mark.parametrize("done", [0, 2])
def test_an_import_that_ends_early_says_how_far_it_came(capsys: pytest.CaptureFixture[str], done: int) -> None:
    def end_early() -> None:
        with _told_how_far(3, lambda *_: None) as count:
            for _ in range(done):
                count(1, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end_early()
    assert ("2 of 3 keys are dealt with" in capsys.readouterr().err) == bool(done)


def test_a_fault_of_the_disk_has_its_remedy() -> None:
    @click.command()
    def write() -> None:
        with readable_errors():
            error = WriteOutcomeUnknown("The key store cannot be written now.")
            error.explanation = "its disk is full; free space"
            raise error

    done = CliRunner().invoke(write)
    assert (
        done.output == "Error: its disk is full; free space. Whether the change was made is not known; run this again\n"
    )
