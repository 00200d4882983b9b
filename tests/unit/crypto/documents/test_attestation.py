"""Attestation documents: each invalid one is refused with the reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attestations import HOUR, Hypervisor, Issued, issue, register, sign, spki
from strongroom.crypto.documents.attestation import Attestations, Attested, Platform
from strongroom.errors import ValidationException
from strongroom.settings import SettingsError

import cbor2  # isort: skip

NOW = 1_790_000_000.0
MINUTES = 60
KEY = rsa.generate_private_key(65537, 2048)
PUBLIC_KEY = spki(KEY)
nitro = Hypervisor(NOW)
DOCUMENT = nitro.document(PUBLIC_KEY)


def trusting(*roots: Issued, folder: Path) -> Attestations:
    file = folder / "roots.pem"
    file.write_bytes(b"".join(root.pem for root in roots))
    return Attestations([str(file)], 5 * MINUTES, 5 * MINUTES)


@pytest.fixture(scope="module")
def attestations(tmp_path_factory: pytest.TempPathFactory) -> Attestations:
    other = issue("another root", None, NOW)
    return trusting(other, nitro.root, folder=tmp_path_factory.mktemp("roots"))


def refusal(attestations: Attestations, document: bytes, now: float = NOW) -> str:
    with pytest.raises(ValidationException) as caught:
        attestations.verify(document, now)
    message = str(caught.value.message)
    assert message.startswith("The attestation document is not valid: ")
    return message


def test_a_document_of_an_enclave(attestations: Attestations) -> None:
    nothing_more = nitro.document(PUBLIC_KEY, user_data=..., nonce=...)
    at_the_limits = nitro.document(PUBLIC_KEY, user_data=bytes(512), nonce=bytes(512), unheard_of=[1])
    for document in (DOCUMENT, b"\xd2" + DOCUMENT, nothing_more, at_the_limits):
        attested = attestations.verify(document, NOW)
        assert attested.platform is Platform.ENCLAVE
        assert attested.module_id == "i-1234567890abcdef0-enc0123456789abcdef"
        assert attested.registers == {index: register(index) for index in range(16)}
        assert attested.public_key == KEY.public_key()


def test_a_document_of_a_nitro_tpm(attestations: Attestations) -> None:
    attested = attestations.verify(nitro.tpm_document(PUBLIC_KEY), NOW)
    assert attested.platform is Platform.TPM
    assert len(attested.registers) == 24


def test_five_minutes(attestations: Attestations) -> None:
    for moment in (NOW - 5 * MINUTES, NOW, NOW + 5 * MINUTES):
        assert attestations.verify(DOCUMENT, moment).module_id
    assert "too old" in refusal(attestations, DOCUMENT, NOW + 5 * MINUTES + 1)
    assert "in the future" in refusal(attestations, DOCUMENT, NOW - 5 * MINUTES - 1)


# --- what it says

REGISTER = bytes(48)
RSA_1024 = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to see it refused
VERSION_3, VERSION_58 = bytes.fromhex("a003020102"), bytes.fromhex("a003020139")
# Its algorithm is unheard of, and its subject is no text: cryptography stumbles over the one while refusing the other.
BREAKING = nitro.signer.der.replace(b"\x06\x08\x2a\x86\x48", b"\x06\x08\xce\x86\x48", 1).replace(b"-enc", b"\xff" * 4)
MEMBERS: dict[str, tuple[dict[str, Any], str]] = {
    "no module id": ({"module_id": ...}, "no module id"),
    "an empty module id": ({"module_id": ""}, "no module id"),
    "a module id of bytes": ({"module_id": b"i-1"}, "no module id"),
    "another digest": ({"digest": "SHA256"}, "digest is not SHA384"),
    "no digest": ({"digest": ...}, "digest is not SHA384"),
    "no time": ({"timestamp": ...}, "when it was made"),
    "time zero": ({"timestamp": 0}, "when it was made"),
    "time true": ({"timestamp": True}, "when it was made"),
    "a time as text": ({"timestamp": "now"}, "when it was made"),
    "a time as a float": ({"timestamp": NOW * 1000}, "when it was made"),
    "the end of time": ({"timestamp": 2**64 - 1}, "in the future"),
    "the year it began": ({"timestamp": 1}, "too old"),
    "registers of both kinds": ({"nitrotpm_pcrs": {0: REGISTER}}, "neither"),
    "no registers": ({"pcrs": ...}, "neither"),
    "registers of nothing": ({"pcrs": {}}, "1 to 32"),
    "33 registers": ({"pcrs": dict.fromkeys(range(33), REGISTER)}, "1 to 32"),
    "registers as a list": ({"pcrs": [REGISTER]}, "1 to 32"),
    "register 32": ({"pcrs": {32: REGISTER}}, "from 0 to 31"),
    "register -1": ({"pcrs": {-1: REGISTER}}, "from 0 to 31"),
    "register true": ({"pcrs": {True: REGISTER}}, "from 0 to 31"),
    "a register with a name": ({"pcrs": {"0": REGISTER}}, "from 0 to 31"),
    "a short register": ({"pcrs": {0: bytes(47)}}, "32, 48 or 64"),
    "a register of text": ({"pcrs": {0: "0" * 48}}, "32, 48 or 64"),
    "no public key": ({"public_key": ...}, "no public key"),
    "a public key of null": ({"public_key": None}, "no public key"),
    "an empty public key": ({"public_key": b""}, "1 to 1024"),
    "a long public key": ({"public_key": bytes(1025)}, "1 to 1024"),
    "a public key of text": ({"public_key": "key"}, "1 to 1024"),
    "a public key that is none": ({"public_key": b"my super secret key"}, "cannot be read"),
    "a public key and more": ({"public_key": PUBLIC_KEY + b"\x00"}, "cannot be read"),
    "a short RSA key": ({"public_key": spki(RSA_1024)}, "at least 2048 bits"),
    "an elliptic key": ({"public_key": spki(ec.generate_private_key(ec.SECP384R1()))}, "at least 2048 bits"),
    "much user data": ({"user_data": bytes(513)}, "user_data"),
    "user data as text": ({"user_data": "data"}, "user_data"),
    "a long nonce": ({"nonce": bytes(513)}, "nonce"),
    "no certificate": ({"certificate": ...}, "cannot be read"),
    "a certificate that is none": ({"certificate": b"certificate"}, "cannot be read"),
    "a certificate of version 58": ({"certificate": nitro.signer.der.replace(VERSION_3, VERSION_58)}, "cannot be read"),
    "a certificate that breaks while it is judged": ({"certificate": BREAKING}, "does not lead"),
    "a long certificate": ({"certificate": bytes(1025)}, "cannot be read"),
    "no bundle": ({"cabundle": ...}, "no certificates of authorities"),
    "an empty bundle": ({"cabundle": []}, "no certificates of authorities"),
    "a bundle of null": ({"cabundle": None}, "no certificates of authorities"),
    "a bundle of text": ({"cabundle": ["root"]}, "cannot be read"),
    "an incomplete bundle": ({"cabundle": [nitro.root.der, nitro.instance.der]}, "does not lead"),
    "more than fits": ({"padding": bytes(16_384)}, "too large"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_wrong_members(attestations: Attestations, name: str) -> None:
    changes, says = MEMBERS[name]
    assert says in refusal(attestations, nitro.document(PUBLIC_KEY, **changes))


# --- who signed it


class Chain(NamedTuple):
    """A signer, and the authorities above it from the root on."""

    signer: Issued
    authorities: tuple[Issued, ...]


def chain(root: Issued | None = None, **wrong: dict[str, Any]) -> Chain:
    """Return a chain under the trusted root, with what is wrong with its ``region``, ``instance`` or ``signer``."""
    top = root or nitro.root
    region = issue("region", top, NOW, **wrong.get("region", {}))
    instance = issue("instance", region, NOW, **wrong.get("instance", {}))
    signer = issue("signer", instance, NOW, **{"authority": False, **wrong.get("signer", {})})
    return Chain(signer, (top, region, instance))


UNHEARD_OF = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
CHAINS: dict[str, tuple[Callable[[], Chain], str]] = {
    "another root of the same name": (lambda: chain(issue("aws.nitro-enclaves", None, NOW)), "does not lead"),
    "an expired signer": (lambda: chain(signer={"begins": -2 * HOUR, "ends": -1}), "not valid now"),
    "a signer of tomorrow": (lambda: chain(signer={"begins": 1, "ends": HOUR}), "not valid now"),
    "an expired authority": (lambda: chain(instance={"begins": -2 * HOUR, "ends": -1}), "not valid now"),
    "an authority that is none": (lambda: chain(instance={"authority": False}), "does not lead"),
    "an authority that may not sign": (lambda: chain(instance={"may_sign": False}), "does not lead"),
    "a path longer than its limit": (lambda: chain(region={"path_length": 0}), "does not lead"),
    "a signer that may not sign": (lambda: chain(signer={"may_sign": False}), "does not lead"),
    "a signer that is an authority": (lambda: chain(signer={"authority": True}), "does not lead"),
    "an unheard-of critical extension": (lambda: chain(instance={"more": UNHEARD_OF}), "does not lead"),
    "a signer's too": (lambda: chain(signer={"more": UNHEARD_OF}), "does not lead"),
    "an authority on P-256": (lambda: chain(instance={"curve": ec.SECP256R1()}), "not on P-384"),
    "a signer on P-256": (lambda: chain(signer={"curve": ec.SECP256R1()}), "not on P-384"),
    "a signature with SHA-256": (lambda: chain(signer={"digest": SHA256()}), "not signed with SHA-384"),
}


def under(made: Chain) -> bytes:
    bundle = [each.der for each in made.authorities]
    payload = nitro.payload(PUBLIC_KEY, certificate=made.signer.der, cabundle=bundle)
    return sign(cbor2.dumps(payload), made.signer.key)


def test_another_chain_to_the_same_root(attestations: Attestations) -> None:
    assert attestations.verify(under(chain()), NOW).module_id


def test_a_document_carries_five_certificates_at_most(attestations: Attestations) -> None:
    made = chain()
    zone = issue("zone", made.authorities[1], NOW)
    instance = issue("an instance in the zone", zone, NOW)
    longest = Chain(
        issue("its signer", instance, NOW, authority=False), (nitro.root, made.authorities[1], zone, instance)
    )
    assert attestations.verify(under(longest), NOW).module_id
    unused = issue("one more", None, NOW)
    longer = Chain(longest.signer, (*longest.authorities, unused))
    assert "it carries more than 5 certificates" in refusal(attestations, under(longer))
    # They are counted before any is read.
    payload = cbor2.dumps(nitro.payload(PUBLIC_KEY, cabundle=[b"x"] * 5))
    assert "it carries more than 5 certificates" in refusal(attestations, sign(payload, nitro.signer.key))


def test_no_two_authorities_have_the_same_name(attestations: Attestations) -> None:
    """Otherwise each could be the issuer of the next, and a document could ask for many signatures to be verified."""
    made = chain()
    twin = issue("region", nitro.root, NOW)
    for authorities in ((*made.authorities, twin), (twin, *made.authorities), (*made.authorities, nitro.root)):
        says = refusal(attestations, under(Chain(made.signer, authorities)))
        assert "several certificates of authorities with the same name" in says


@pytest.mark.parametrize("name", CHAINS)
def test_wrong_chains(attestations: Attestations, name: str) -> None:
    make, says = CHAINS[name]
    assert says in refusal(attestations, under(make()))


def test_an_expired_root(tmp_path: Path) -> None:
    root = issue("old root", None, NOW, begins=-2 * HOUR, ends=-1)
    assert "not valid now" in refusal(trusting(root, folder=tmp_path), under(chain(root)))


def test_the_signature_is_that_of_the_certificate(attestations: Attestations) -> None:
    payload = cbor2.dumps(nitro.payload(PUBLIC_KEY))
    assert "does not verify" in refusal(attestations, sign(payload, nitro.instance.key))
    zero = cbor2.dumps([cbor2.dumps({1: -35}), {}, payload, bytes(96)])
    assert "does not verify" in refusal(attestations, zero)


def test_without_roots_nothing_is_accepted() -> None:
    with pytest.raises(ValidationException, match="trusts no attestation root"):
        Attestations([], 5 * MINUTES, 5 * MINUTES).verify(DOCUMENT, NOW)


def test_roots_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("root")
    for name in ("roots.pem", "missing.pem"):
        with pytest.raises(SettingsError, match=name):
            Attestations([str(tmp_path / name)], 5 * MINUTES, 5 * MINUTES)


# --- all else: nothing but a refusal


ODD_SERIAL_NUMBERS = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")


@ODD_SERIAL_NUMBERS
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(DOCUMENT) - 1), change=st.integers(1, 255))
def test_every_changed_byte_is_refused(attestations: Attestations, at: int, change: int) -> None:
    refusal(attestations, bytes((*DOCUMENT[:at], DOCUMENT[at] ^ change, *DOCUMENT[at + 1 :])))


# Anybody can sign a document, with whatever certificates; these are read before a signature can be verified.
@ODD_SERIAL_NUMBERS
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 2), at=st.integers(0, 1023), change=st.integers(1, 255))
def test_no_changed_byte_of_a_certificate_changes_the_result(
    attestations: Attestations, which: int, at: int, change: int
) -> None:
    originals = (nitro.signer, nitro.instance, nitro.region)
    changed = [bytearray(each.der) for each in originals]
    changed[which][at % len(changed[which])] ^= change
    signer, instance, region = map(bytes, changed)
    document = nitro.document(PUBLIC_KEY, certificate=signer, cabundle=[nitro.root.der, region, instance])
    try:
        attestations.verify(document, NOW)
    except ValidationException:
        return
    # How many bits of a signature's last byte count is not signed, and where those bits are zero it does not matter.
    loaded = x509.load_der_x509_certificate(bytes(changed[which]))
    assert loaded.tbs_certificate_bytes == originals[which].certificate.tbs_certificate_bytes
    assert loaded.signature == originals[which].certificate.signature


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, len(DOCUMENT) - 1), tail=st.binary(min_size=1, max_size=8))
def test_every_cut_and_every_tail_is_refused(attestations: Attestations, length: int, tail: bytes) -> None:
    refusal(attestations, DOCUMENT[:length])
    assert "follows its end" in refusal(attestations, DOCUMENT + tail)


items = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.binary(max_size=64) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(-2, 33) | st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_hypervisor_signs(attestations: Attestations, data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(nitro.payload(PUBLIC_KEY))))
    document = nitro.document(PUBLIC_KEY, **{name: data.draw(items)})
    try:
        assert isinstance(attestations.verify(document, NOW), Attested)
    except ValidationException:
        assert "is not valid: " in refusal(attestations, document)
