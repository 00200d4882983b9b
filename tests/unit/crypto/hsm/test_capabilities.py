"""What a token can keep: found out by doing it, and refused by name."""

from collections.abc import Callable

import pytest

from full_depth import FullDepth, Module, full_depth
from local_deployment import entropy
from strongroom.crypto.domain_keys import create_domain_key
from strongroom.crypto.hsm import use_of_keys
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.software.private_keys import PRIVATE_KEYS
from strongroom.crypto.token_errors import TokenUnavailableError
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.specs import USAGES, KeySpec, KeyUsage

HERE, THERE = "us-east-1", "eu-west-1"
NEVER = {
    *(KeySpec.ECC_NIST_EDWARDS25519, KeySpec.SM2),
    *(KeySpec.ML_DSA_44, KeySpec.ML_DSA_65, KeySpec.ML_DSA_87),
    *(KeySpec.ML_KEM_512, KeySpec.ML_KEM_768, KeySpec.ML_KEM_1024),
}
"""What is in no token of this release."""
NO_OAEP = "RSAES_OAEP_SHA_256: C_DecryptInit answers ARGUMENTS_BAD"
REFUSED: dict[Module, dict[tuple[KeySpec, KeyUsage], str]] = {
    "softhsm": {
        (KeySpec.RSA_2048, KeyUsage.ENCRYPT_DECRYPT): NO_OAEP,
        (KeySpec.RSA_3072, KeyUsage.ENCRYPT_DECRYPT): NO_OAEP,
        (KeySpec.RSA_4096, KeyUsage.ENCRYPT_DECRYPT): NO_OAEP,
    },
    "nss": {
        (KeySpec.ECC_SECG_P256K1, KeyUsage.SIGN_VERIFY): "C_GenerateKeyPair answers DOMAIN_PARAMS_INVALID",
    },
}


def test_each_token_refuses_what_is_known_of_it_and_nothing_else(module: Module, depth: FullDepth) -> None:
    never = {(spec, usage): "this release keeps no such keys in hardware" for spec in NEVER for usage in USAGES[spec]}
    assert depth.backend.capabilities.all_refused() == {**never, **REFUSED[module]}
    assert depth.temporary_objects() == 0


def test_what_a_token_keeps_can_move_into_it(module: Module, depth: FullDepth) -> None:
    capabilities = depth.backend.capabilities
    for spec in depth.backend.kinds:
        for usage in USAGES[spec]:
            reason = capabilities.refused(spec, usage, moved=True)
            assert (reason is not None) == ((spec, usage) in REFUSED[module])
    assert depth.temporary_objects() == 0


@pytest.mark.parametrize("spec", [KeySpec.SYMMETRIC_DEFAULT, KeySpec.HMAC_512, KeySpec.ECC_NIST_P256])
def test_a_token_that_makes_another_key_of_known_material_is_refused(
    softhsm_depth: FullDepth, monkeypatch: pytest.MonkeyPatch, spec: KeySpec
) -> None:
    kind, usage = softhsm_depth.backend.kinds[spec], USAGES[spec][0]
    create, other = kind.create, use_of_keys.known_material(spec)[:-1] + b"\xff"
    if spec in PRIVATE_KEYS:
        other = use_of_keys.known_material(spec)
    monkeypatch.setattr(kind, "create", lambda calls, _material: create(calls, other))
    reason = softhsm_depth.backend.capabilities.refused(spec, usage, moved=True)
    assert reason == "known key material gives another result"


def test_a_refusal_names_the_spec_the_usage_and_the_reason(softhsm_depth: FullDepth) -> None:
    backend = softhsm_depth.backend
    backend.require_spec(KeySpec.RSA_2048, KeyUsage.SIGN_VERIFY, HERE)
    with pytest.raises(UnsupportedOperationException) as caught:
        backend.require_spec(KeySpec.RSA_2048, KeyUsage.ENCRYPT_DECRYPT, HERE)
    assert str(caught.value) == (
        f"The hardware security module keeps no keys of KeySpec RSA_2048 and KeyUsage ENCRYPT_DECRYPT: {NO_OAEP}."
    )


def test_nothing_is_refused_in_a_region_that_is_not_of_full_depth() -> None:
    with full_depth(new=False) as depth:
        depth.add(HERE, 1)
        depth.store(create_domain_key(THERE, 1, depth.seal, entropy))
        calls = depth.token.calls
        for spec, usages in USAGES.items():
            depth.backend.require_spec(spec, usages[0], THERE)
        assert depth.token.calls == calls
        with pytest.raises(UnsupportedOperationException):
            depth.backend.require_spec(KeySpec.ML_DSA_44, KeyUsage.SIGN_VERIFY, HERE)


def test_a_spec_is_tried_once_and_what_was_refused_again_in_a_new_connection(
    softhsm_depth: FullDepth, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[KeySpec] = []
    capabilities = softhsm_depth.backend.capabilities

    def counted(original: Callable[..., str | None]) -> Callable[..., str | None]:
        def reason(session: object, spec: KeySpec, usage: KeyUsage, *, moved: bool) -> str | None:
            tried.append(spec)
            return original(session, spec, usage, moved=moved)

        return reason

    monkeypatch.setattr(capabilities, "_reason", counted(capabilities._reason))
    kept, refused = (KeySpec.HMAC_256, KeyUsage.GENERATE_VERIFY_MAC), (KeySpec.RSA_2048, KeyUsage.ENCRYPT_DECRYPT)
    for _ in range(2):
        assert capabilities.refused(*kept) is None
        assert capabilities.refused(*refused) == NO_OAEP
    assert tried == [KeySpec.HMAC_256, KeySpec.RSA_2048]
    lost = softhsm_depth.module_token.require()
    lost.module.lose(lost.generation)
    for _ in range(2):
        assert capabilities.refused(*kept) is None
        assert capabilities.refused(*refused) == NO_OAEP
    assert tried == [KeySpec.HMAC_256, KeySpec.RSA_2048, KeySpec.RSA_2048]


def test_a_token_that_does_not_answer_has_refused_nothing(
    softhsm_depth: FullDepth, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, usage = KeySpec.HMAC_256, KeyUsage.GENERATE_VERIFY_MAC
    capabilities = softhsm_depth.backend.capabilities
    softhsm_depth.token.answers = False
    with pytest.raises(TokenUnavailableError):
        capabilities.refused(spec, usage)
    softhsm_depth.token.answers = True

    kind = softhsm_depth.backend.kinds[spec]
    with monkeypatch.context() as patched:
        patched.setattr(kind, "generate", failing(0x30))
        with pytest.raises(TokenUnavailableError):
            capabilities.refused(spec, usage)
    softhsm_depth.wait_until_well()
    assert capabilities.refused(spec, usage) is None


def test_a_general_error_of_a_token_that_goes_on_answering_is_a_refusal(
    softhsm_depth: FullDepth, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = KeySpec.HMAC_256
    generation = softhsm_depth.token.generation
    monkeypatch.setattr(softhsm_depth.backend.kinds[spec], "generate", failing(0x5))
    reason = softhsm_depth.backend.capabilities.refused(spec, KeyUsage.GENERATE_VERIFY_MAC)
    assert reason == "C_GenerateKey answers GENERAL_ERROR"
    assert softhsm_depth.token.generation == generation


def test_a_token_that_computes_wrongly_is_refused(softhsm_depth: FullDepth, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = KeySpec.HMAC_384
    monkeypatch.setattr(softhsm_depth.backend.kinds[spec], "is_same", lambda *_: False)
    reason = softhsm_depth.backend.capabilities.refused(spec, KeyUsage.GENERATE_VERIFY_MAC)
    assert reason is not None
    assert "comes back as another" in reason


@pytest.mark.parametrize("spec", [KeySpec.SYMMETRIC_DEFAULT, KeySpec.RSA_2048])
def test_a_token_that_unwraps_keys_which_can_leave_it_is_refused(
    softhsm_depth: FullDepth, monkeypatch: pytest.MonkeyPatch, spec: KeySpec
) -> None:
    kind = softhsm_depth.backend.kinds[spec]
    template = kind.template
    monkeypatch.setattr(kind, "template", lambda **_: template(extractable=True))
    reason = softhsm_depth.backend.capabilities.refused(spec, USAGES[spec][-1])
    assert reason == "the token unwraps keys that it could give away, although it was told not to"


def failing(code: int) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise CryptokiError("C_GenerateKey", code)

    return fail
