"""The seal ``tpm``: the root key under a key that only the TPM 2.0 of this machine gives back.

The TPM seals a random key of 32 bytes (TPM 2.0 Library, part 1, 27.5) under its storage root key, a P-256 key that it
derives anew from its owner seed each time. So nothing is kept in the TPM. With ``pcrs``, it gives the key back only
while those platform configuration registers are what they were: the same firmware, boot loader and kernel have started.
A session encrypts the key between the process and the TPM (part 1, 21), so one who listens on the bus does not get it.

Parameters: ``device``, a TCTI of the TPM2 Software Stack such as ``device:/dev/tpmrm0``, and ``pcrs``, such as
``sha256:0,2,4,7``.
"""

import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from strongroom.crypto.envelope import KEY_LENGTH, Wrapper
from strongroom.crypto.seal import SealUnavailableError, UnsealError
from strongroom.entropy import Entropy

if TYPE_CHECKING:
    from tpm2_pytss import ESAPI, ESYS_TR

DEVICE = "device:/dev/tpmrm0"
"""The TPM of this machine, behind the kernel's resource manager."""
MISSING = "the seal needs the TPM2 Software Stack: apt install libtss2-dev; pip install 'strongroom[tpm-seal]'"

_VERSION = 1
_SYMMETRIC = "aes128cfb"
_REGISTERS = 24
_PCRS = re.compile(r"(sha1|sha256|sha384|sha512):(\d{1,2}(?:,\d{1,2})*)")
_LENGTHS = struct.Struct(">HH")
_LAYER = 16
_TCTI_LAYER = 0xA
_FORMAT_ONE = 0x80
_CODE = 0xBF
"""A response code of format one without the number of the handle, session or parameter (part 2, 6.6.2)."""
_POLICY_FAIL, _INTEGRITY, _VALUE_FAILS = 0x9D, 0x9F, {0x84, 0x92, 0x95}
_TRY_AGAIN = {0x908, 0x90A, 0x920, 0x921, 0x922}
"""TPM_RC_YIELDED, TESTING, NV_RATE, LOCKOUT and RETRY (part 2, 6.6.3)."""


class TpmKeeper:
    """Has a TPM keep the key that wraps a root key."""

    def __init__(self, parameters: Mapping[str, str | int], entropy: Entropy) -> None:
        self._device = str(parameters.get("device", DEVICE))
        self._pcrs = str(parameters.get("pcrs", ""))
        self._entropy = entropy

    def wrap(self, root_key: bytes, binding: bytes) -> bytes:
        """Return a root key wrapped; raises as ``RootKeyKeeper`` says."""
        key = self._entropy(KEY_LENGTH)
        with self._connected() as tpm:
            private, public = _seal(tpm, key, self._pcrs)
        head = _LENGTHS.pack(len(private), len(public))
        return head + private + public + Wrapper(key, _VERSION, self._entropy).wrap(root_key, binding)

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Return the root key; raises as ``RootKeyKeeper`` says."""
        try:
            first, second = _LENGTHS.unpack_from(wrapped)
        except struct.error:
            raise UnsealError("it is damaged") from None
        start = _LENGTHS.size
        private, public = wrapped[start : start + first], wrapped[start + first : start + first + second]
        with self._connected() as tpm:
            key = _unseal(tpm, private, public, self._pcrs)
        return Wrapper(key, _VERSION, self._entropy).unwrap(wrapped[start + first + second :], binding)

    @contextmanager
    def _connected(self) -> "Iterator[ESAPI]":
        """Connect to the TPM, and say in plain words what it refuses; raises as ``RootKeyKeeper`` says."""
        if self._pcrs:
            registers_in(self._pcrs)
        # The libraries would write what fails to standard error, beside what is said here.
        os.environ.setdefault("TSS2_LOG", "all+NONE")
        try:
            from tpm2_pytss import ESAPI, TSS2_Exception  # noqa: PLC0415 - an extra
        except ImportError:
            raise UnsealError(MISSING) from None
        try:
            with ESAPI(self._device) as tpm:
                yield tpm
        except TSS2_Exception as error:
            raise _failure(error.rc, str(error), self._device, self._pcrs) from None


def registers_in(pcrs: str) -> list[str]:
    """Return the registers that are named, each with its bank; raises UnsealError for what names none of the 24."""
    found = _PCRS.fullmatch(pcrs)
    numbers = [] if found is None else found[2].split(",")
    if found is None or any(int(each) >= _REGISTERS for each in numbers):
        raise UnsealError(f"{pcrs!a} names no platform configuration registers; write them as sha256:0,2,4,7")
    return [f"{found[1]}:{number}" for number in numbers]


def _failure(code: int, words: str, device: str, pcrs: str) -> UnsealError | SealUnavailableError:
    """Return what a response code of the TPM, or of the way to it, means for a seal."""
    if code >> _LAYER == _TCTI_LAYER:
        return SealUnavailableError(
            f"the TPM at `{device}` does not answer ({words}); see that it is there, and that the server's user may "
            "use it: on most systems, users of the group `tss` may"
        )
    if code in _TRY_AGAIN:
        return SealUnavailableError(f"the TPM at `{device}` is busy ({words})")
    kind = code & _CODE if code & _FORMAT_ONE else code
    if kind == _POLICY_FAIL and pcrs:
        return UnsealError(
            f"this machine has not started as it had when the seal was made: its registers {pcrs} have other values, "
            "as after an update of firmware, boot loader or kernel. Open it by another seal, then run: strongroom seal "
            "rotate"
        )
    if kind == _INTEGRITY:
        return UnsealError("another TPM has made it, or this one was cleared since")
    if kind in _VALUE_FAILS:
        return UnsealError(f"it is damaged, or the TPM does not know {pcrs or 'it'} ({words})")
    return UnsealError(f"the TPM at `{device}` refuses: {words}")


def _seal(tpm: "ESAPI", key: bytes, pcrs: str) -> tuple[bytes, bytes]:
    """Return a key as a sealed object of the TPM: its private part, which only this TPM opens, and its public part."""
    from tpm2_pytss import TPM2B_PUBLIC, TPM2B_SENSITIVE_CREATE, TPMA_OBJECT, TPMS_SENSITIVE_CREATE  # noqa: PLC0415

    # Without registers, the empty password opens it. With them, it must not.
    access = TPMA_OBJECT(0) if pcrs else TPMA_OBJECT.USERWITHAUTH
    attributes = TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.NODA | access
    with _storage_key(tpm) as parent, _session(tpm, parent, policy=False) as encrypting:
        public = TPM2B_PUBLIC.parse("keyedhash", objectAttributes=attributes, authPolicy=_policy(tpm, pcrs))
        secret = TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(data=key))
        private, public, *_ = tpm.create(parent, secret, public, session2=encrypting)
    return private.marshal(), public.marshal()


def _unseal(tpm: "ESAPI", private: bytes, public: bytes, pcrs: str) -> bytes:
    """Return the key in a sealed object."""
    from tpm2_pytss import TPM2B_PRIVATE, TPM2B_PUBLIC, TSS2_Exception  # noqa: PLC0415 - an extra

    try:
        parts = TPM2B_PRIVATE.unmarshal(private)[0], TPM2B_PUBLIC.unmarshal(public)[0]
    except (TSS2_Exception, ValueError):
        raise UnsealError("it is damaged") from None
    with (
        _storage_key(tpm) as parent,
        _flushed(tpm, tpm.load(parent, *parts)) as sealed,
        _session(tpm, parent, policy=bool(pcrs)) as session,
    ):
        if pcrs:
            tpm.policy_pcr(session, b"", pcrs)
            return bytes(tpm.unseal(sealed, session1=session))
        return bytes(tpm.unseal(sealed, session2=session))


def _policy(tpm: "ESAPI", pcrs: str) -> bytes:
    """Return the digest of the policy that registers have their present values; empty without registers."""
    from tpm2_pytss import ESYS_TR, TPM2_ALG, TPM2_SE  # noqa: PLC0415 - an extra

    if not pcrs:
        return b""
    _require_bank(tpm, pcrs)
    none = ESYS_TR.NONE
    with _flushed(tpm, tpm.start_auth_session(none, none, TPM2_SE.TRIAL, _SYMMETRIC, TPM2_ALG.SHA256)) as trial:
        tpm.policy_pcr(trial, b"", pcrs)
        return bytes(tpm.policy_get_digest(trial))


def _require_bank(tpm: "ESAPI", pcrs: str) -> None:
    """Refuse registers that the TPM does not keep: their policy would hold whatever they were. Raises UnsealError."""
    for register in registers_in(pcrs):
        _, _, values = tpm.pcr_read(register)
        if not values.count:
            raise UnsealError(f"the TPM does not keep the register {register}; choose another bank or number")


@contextmanager
def _storage_key(tpm: "ESAPI") -> "Iterator[ESYS_TR]":
    """Make the storage root key, which is the same each time."""
    from tpm2_pytss import ESYS_TR, TPM2B_PUBLIC, TPMA_OBJECT  # noqa: PLC0415 - an extra

    attributes = (
        TPMA_OBJECT.USERWITHAUTH
        | TPMA_OBJECT.RESTRICTED
        | TPMA_OBJECT.DECRYPT
        | TPMA_OBJECT.NODA
        | TPMA_OBJECT.FIXEDTPM
        | TPMA_OBJECT.FIXEDPARENT
        | TPMA_OBJECT.SENSITIVEDATAORIGIN
    )
    public = TPM2B_PUBLIC.parse(f"ecc:{_SYMMETRIC}", objectAttributes=attributes)
    with _flushed(tpm, tpm.create_primary(None, public, ESYS_TR.OWNER)[0]) as handle:
        yield handle


@contextmanager
def _session(tpm: "ESAPI", salted_by: "ESYS_TR", *, policy: bool) -> "Iterator[ESYS_TR]":
    """Begin a session that encrypts what passes between the TPM and this process."""
    from tpm2_pytss import ESYS_TR, TPM2_ALG, TPM2_SE, TPMA_SESSION  # noqa: PLC0415 - an extra

    kind = TPM2_SE.POLICY if policy else TPM2_SE.HMAC
    started = tpm.start_auth_session(salted_by, ESYS_TR.NONE, kind, _SYMMETRIC, TPM2_ALG.SHA256)
    with _flushed(tpm, started) as session:
        encrypt = TPMA_SESSION.ENCRYPT | TPMA_SESSION.CONTINUESESSION
        tpm.trsess_set_attributes(session, encrypt if policy else encrypt | TPMA_SESSION.DECRYPT)
        yield session


@contextmanager
def _flushed(tpm: "ESAPI", handle: "ESYS_TR") -> "Iterator[ESYS_TR]":
    """Remove an object or session from the TPM afterwards, which has room for three."""
    try:
        yield handle
    finally:
        tpm.flush_context(handle)
