"""Verification finds every change of a valid log: the log of a real run, changed in every way."""

import re
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_disk import MemorySigner
from local_deployment import LocalDeployment, Refused, entropy
from strongroom.assembly.audit_log import known_writers, open_audit_key
from strongroom.assembly.data_folder import DataFolder, open_store
from strongroom.audit.chain import (
    GENESIS,
    Checkpoint,
    Header,
    KnownWriter,
    Position,
    claim_of,
    header_body,
    link,
    segment_name,
    signed_bytes,
    statement_of,
)
from strongroom.audit.report import Kind, Report
from strongroom.audit.verification import Verifier
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.audit_key import AuditKey
from strongroom.store.audit.log import AuditLog
from strongroom.store.audit.segment_reader import walk
from strongroom.store.audit.segments import copies_of_segments, segments_of

NOW = 1_790_000_000.0
CHAIN = re.compile(rb',"chain":.*\n')
Files = dict[str, bytes]


class Whole(msgspec.Struct, frozen=True):
    """An unaltered log, and what is needed to verify it."""

    files: Files
    key: AuditKey
    writers: dict[str, KnownWriter]

    @property
    def writer(self) -> str:
        """The name of the one writer."""
        (name,) = self.writers
        return name

    def verify(self, files: Files, *, from_oldest: bool = False) -> Report:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            for name, content in files.items():
                (folder / name).write_bytes(content)
            return self._verify(folder, self.writers, from_oldest=from_oldest)

    def verify_after_restart(self, files: Files) -> Report:
        """Let a server continue the log, and sign it, before it is verified."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            for name, content in files.items():
                (folder / name).write_bytes(content)
            signer = MemorySigner(self.key)
            signer.writers.update(self.writers)
            log = AuditLog(folder, self.writer, "write", 1 << 20, signer, ManualClock(NOW + 9 * DAY))
            log.append(b'{"eventName":"ListKeys"}')
            log.close()
            assert signer.writers != self.writers
            return self._verify(folder, signer.writers)

    def _verify(self, folder: Path, writers: dict[str, KnownWriter], *, from_oldest: bool = False) -> Report:
        verifier = Verifier(self.key.public().verifies, writers, from_oldest=from_oldest)
        walk(copies_of_segments([folder]), verifier, lambda _: None)
        return verifier.finish(writers)

    def kinds(self, files: Files) -> set[Kind]:
        """Return the kinds of findings in a log that differs from this one."""
        assert files != self.files
        found = {finding.kind for finding in self.verify(files).findings}
        assert found
        return found

    def lines(self) -> list[tuple[str, int, bytes]]:
        """Return every line: its file, its place there, its bytes."""
        return [
            (name, number, line)
            for name, content in self.files.items()
            for number, line in enumerate(content.splitlines(keepends=True))
        ]

    def with_lines(self, name: str, lines: list[bytes]) -> Files:
        return self.files | {name: b"".join(lines)}


def work(local: LocalDeployment) -> None:
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    for number in range(8):
        local.call("Encrypt", KeyId=key_id, Plaintext="eA==", EncryptionContext={"number": str(number)})
    with pytest.raises(Refused):
        local.call("Decrypt", CiphertextBlob="eA==")


def run(folder: Path) -> Whole:
    """Serve for two days, with a stop between them."""
    local = LocalDeployment(folder, ManualClock(NOW), audit_segment_size=4096)
    for _ in range(2):
        work(local)
        local.deployment.keeper.run()
        work(local)
        local.clock.advance(DAY)
        local.reopen()
    backends = local.deployment.backends
    key = open_audit_key(backends.store, backends.secrets, entropy, local.folder / "audit")
    local.deployment.close()
    reader = open_store(DataFolder(folder))
    writers = dict(known_writers(reader))
    reader.close()
    files = {segment.path.name: segment.path.read_bytes() for segment in segments_of(folder / "audit")}
    return Whole(files, key, writers)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    whole = run(tmp_path_factory.mktemp("run") / "data")
    report = whole.verify(whole.files)
    assert report.findings == []
    assert (report.records, report.unsigned, report.torn) == (40, 0, 0)
    assert len(whole.files) > 6
    return whole


data = st.data()


def a_place(draw: st.DataObject, whole: Whole) -> tuple[str, int]:
    name = draw.draw(st.sampled_from(sorted(whole.files)))
    return name, draw.draw(st.integers(0, len(whole.files[name]) - 1))


def a_line(draw: st.DataObject, whole: Whole) -> tuple[str, int, bytes]:
    return draw.draw(st.sampled_from(whole.lines()))


@given(draw=data, value=st.integers(1, 255))
@settings(max_examples=500)
def test_altered_bytes_are_found(whole: Whole, draw: st.DataObject, value: int) -> None:
    name, at = a_place(draw, whole)
    content = bytearray(whole.files[name])
    content[at] ^= value
    whole.kinds(whole.files | {name: bytes(content)})


@given(draw=data, length=st.integers(1, 40))
def test_removed_bytes_are_found(whole: Whole, draw: st.DataObject, length: int) -> None:
    name, at = a_place(draw, whole)
    content = whole.files[name]
    whole.kinds(whole.files | {name: content[:at] + content[at + length :]})


@given(draw=data, more=st.binary(min_size=1, max_size=20))
def test_inserted_bytes_are_found(whole: Whole, draw: st.DataObject, more: bytes) -> None:
    name, at = a_place(draw, whole)
    content = whole.files[name]
    whole.kinds(whole.files | {name: content[:at] + more + content[at:]})


def test_every_removed_line_is_found(whole: Whole) -> None:
    for name, number, _ in whole.lines():
        lines = whole.files[name].splitlines(keepends=True)
        del lines[number]
        assert whole.kinds(whole.with_lines(name, lines)) & {Kind.REMOVED, Kind.FILE_MISSING, Kind.TRUNCATED}


def test_every_duplicated_line_is_found(whole: Whole) -> None:
    for name, number, line in whole.lines():
        lines = whole.files[name].splitlines(keepends=True)
        lines.insert(number, line)
        assert whole.kinds(whole.with_lines(name, lines)) == {Kind.REORDERED}


@given(draw=data)
def test_lines_that_change_places_are_found(whole: Whole, draw: st.DataObject) -> None:
    places = draw.draw(st.lists(st.sampled_from(range(len(whole.lines()))), min_size=2, max_size=2, unique=True))
    (one, first, line), (other, second, another) = (whole.lines()[place] for place in places)
    files = {name: content.splitlines(keepends=True) for name, content in whole.files.items()}
    files[one][first], files[other][second] = another, line
    assert Kind.REORDERED in whole.kinds({name: b"".join(lines) for name, lines in files.items()})


def test_every_line_that_is_cut_short_is_found(whole: Whole) -> None:
    for name, number, line in whole.lines():
        lines = whole.files[name].splitlines(keepends=True)
        lines[number] = line[: len(line) // 2] + b"\n"
        assert Kind.ALTERED in whole.kinds(whole.with_lines(name, lines))


@given(draw=data)
def test_every_earlier_end_is_found(whole: Whole, draw: st.DataObject) -> None:
    name, at = a_place(draw, whole)
    earlier = {each: content for each, content in whole.files.items() if each < name}
    assert whole.kinds(earlier | {name: whole.files[name][:at]}) == {Kind.TRUNCATED}
    if earlier:
        assert whole.kinds(earlier) == {Kind.TRUNCATED}


def test_every_missing_file_is_found(whole: Whole) -> None:
    *others, _ = whole.files
    for name in others:
        left = {each: content for each, content in whole.files.items() if each != name}
        assert whole.kinds(left) == {Kind.FILE_MISSING}
    assert whole.kinds({name: whole.files[name] for name in others}) == {Kind.TRUNCATED}
    assert whole.kinds({}) == {Kind.FILE_MISSING}


def test_older_files_may_be_moved_away_if_the_operator_says_so(whole: Whole) -> None:
    names = list(whole.files)
    for first in range(len(names)):
        left = {name: whole.files[name] for name in names[first:]}
        assert whole.verify(left, from_oldest=True).findings == []
        if first + 2 < len(names):
            del left[names[first + 1]]
            found = whole.verify(left, from_oldest=True).findings
            assert [finding.kind for finding in found] == [Kind.FILE_MISSING]
        headless = whole.files[names[first]].partition(b"\n")[2]
        assert whole.verify(left | {names[first]: headless}, from_oldest=True).findings


def test_a_file_under_another_name_is_found(whole: Whole) -> None:
    for name, content in whole.files.items():
        others = {each: kept for each, kept in whole.files.items() if each != name}
        whole.kinds(others | {"2020" + name[4:]: content})
        whole.kinds(others | {name.replace("w0-", "w1-"): content})
        whole.kinds(others | {name.replace("-0000", "-1000"): content})
        whole.kinds(others | {name: b""})


def rechained(whole: Whole, change: dict[int, bytes | None], key: AuditKey | None = None) -> Files:
    """Return the log as a forger leaves it who can compute hashes: some lines changed or left out, all chained anew.

    With a ``key`` of their own, they sign all checkpoints anew.
    """
    files: dict[str, bytes] = {}
    position = Position(whole.writer)
    for index, (name, _, line) in enumerate(whole.lines()):
        body: bytes | None = CHAIN.sub(b"}", line)
        body = change.get(index, body)
        if body is not None and body.startswith(b'{"segment":'):
            body = re.sub(rb'"previous":"\w+"', b'"previous":"%b"' % position.digest, body)
        if body is not None and body.startswith(b'{"checkpoint":') and key is not None:
            statement = statement_of(position, NOW)
            signature = key.sign(signed_bytes(statement))
            body = msgspec.json.encode(Checkpoint(msgspec.Raw(statement), signature))
        if body is not None:
            linked, position = link([body], position)
            files[name] = files.get(name, b"") + linked
    return files


@given(draw=data, value=st.integers(1, 255))
@settings(max_examples=200)
def test_a_server_that_continues_an_altered_log_hides_nothing(whole: Whole, draw: st.DataObject, value: int) -> None:
    name, at = a_place(draw, whole)
    content = bytearray(whole.files[name])
    content[at] ^= value
    altered = whole.files | {name: bytes(content)}
    # Without its newline, the last line is cut off as a torn one: a checkpoint, and no record.
    only_the_end = name == max(whole.files) and at == len(content) - 1
    assert bool(whole.verify_after_restart(altered).findings) is not only_the_end


def test_a_server_that_continues_a_forged_log_does_not_make_it_valid(whole: Whole) -> None:
    assert whole.verify_after_restart(whole.files).findings == []
    lines = whole.lines()
    for index, (_, _, line) in enumerate(lines):
        if line.startswith(b'{"eventVersion"'):
            altered = CHAIN.sub(b"}", line).replace(b"arn:aws:iam::000000000000:root", b"another caller")
            assert whole.verify_after_restart(rechained(whole, {index: altered})).findings
    checkpoints = [index for index, (_, _, line) in enumerate(lines) if line.startswith(b'{"checkpoint":')]
    assert whole.verify_after_restart(rechained(whole, dict.fromkeys(checkpoints, b'{"eventName":"x"}'))).findings
    for name in whole.files:
        assert whole.verify_after_restart({each: whole.files[each] for each in whole.files if each < name}).findings


@given(lines=st.lists(st.integers(1, 3), min_size=1, max_size=3))
@settings(max_examples=30)
def test_lines_added_while_no_server_runs_are_found_before_and_after_a_start(whole: Whole, lines: list[int]) -> None:
    assert whole.writers[whole.writer].stopped
    files = dict(whole.files)
    name = max(files)
    end = claim_of(files[name].splitlines()[-1])
    assert end is not None
    signed = end.sequence
    for number, more in enumerate(lines):
        bodies = [b'{"eventName":"forged"}'] * more
        if number:
            name = segment_name(NOW + 3 * DAY + number, end)
            header = Header(name, end.digest.decode(), uncovered=end.sequence - signed)
            bodies.insert(0, header_body(header))
        forged, end = link(bodies, end)
        files[name] = files.get(name, b"") + forged
    assert whole.kinds(files) == {Kind.ADDED}
    assert {finding.kind for finding in whole.verify_after_restart(files).findings} == {Kind.ADDED}


def test_a_writer_that_never_existed_is_found(whole: Whole) -> None:
    name = segment_name(NOW, Position("w9"))
    forged, _ = link([header_body(Header(name, GENESIS.decode())), b'{"eventName":"forged"}'], Position("w9"))
    assert whole.kinds(whole.files | {name: forged}) == {Kind.ADDED}
    assert {finding.kind for finding in whole.verify_after_restart(whole.files | {name: forged}).findings} == {
        Kind.ADDED
    }


def test_chaining_an_unchanged_log_anew_gives_the_same_log(whole: Whole) -> None:
    assert rechained(whole, {}) == whole.files


def test_a_forger_who_chains_anew_is_found_by_signatures(whole: Whole) -> None:
    lines = whole.lines()
    records = [index for index, (_, _, line) in enumerate(lines) if line.startswith(b'{"eventVersion"')]
    for index in records:
        altered = CHAIN.sub(b"}", lines[index][2]).replace(b"arn:aws:iam::000000000000:root", b"another caller")
        assert Kind.BAD_SIGNATURE in whole.kinds(rechained(whole, {index: altered}))
        # Without the line, sequences no longer fit the names of later files.
        whole.kinds(rechained(whole, {index: None}))


def test_a_forger_with_a_key_of_their_own_is_found(whole: Whole) -> None:
    found = whole.kinds(rechained(whole, {}, AuditKey(b"forger's secret key: 32 bytes..!")))
    assert found == {Kind.BAD_SIGNATURE, Kind.ALTERED}


def test_a_forger_who_leaves_checkpoints_out_is_found(whole: Whole) -> None:
    lines = whole.lines()
    checkpoints = {index: None for index, (_, _, line) in enumerate(lines) if line.startswith(b'{"checkpoint":')}
    whole.kinds(rechained(whole, dict(checkpoints)))
    # As notes that are no checkpoints, so that all sequences stay.
    notes = dict.fromkeys(checkpoints, b'{"note":"nothing to see"}')
    assert whole.kinds(rechained(whole, dict(notes))) == {Kind.ALTERED}


def test_a_checkpoint_in_the_database_needs_a_signature(whole: Whole) -> None:
    kept = whole.writers[whole.writer].checkpoint
    assert kept is not None
    forged = Checkpoint(msgspec.Raw(bytes(kept.statement).replace(b'w0"', b'w1"')), kept.signature)
    for known in (forged, Checkpoint(kept.statement, bytes(64))):
        report = Whole(whole.files, whole.key, {whole.writer: KnownWriter(known)}).verify(whole.files)
        assert [finding.kind for finding in report.findings] == [Kind.BAD_SIGNATURE]
    without = Whole(whole.files, whole.key, {}).verify(whole.files)
    assert [finding.kind for finding in without.findings] == [Kind.REMOVED]
