"""Checks of the hardware token that has the domain keys."""

from collections.abc import Iterator

from strongroom.assembly.doctor.results import Finding, ok, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.assembly.protections import FULL_DEPTH, ROOT_DEPTH, protection_of


def check_token(scene: Scene) -> Iterator[Finding]:
    """Find out whether the token answers, computes rightly, and has every domain key that the database names."""
    in_token = scene.domain_keys.in_token
    if not in_token:
        if scene.token.is_set:
            yield warning(
                "a token is set, and no domain key is in it or needs it",
                "read docs/hardware.md, or unset `pkcs11-module`",
            )
        else:
            yield ok("none is used: the domain keys are in software")
        return
    _ = scene.usable_keys
    name = scene.token.require().name
    kinds = {"domain keys": ROOT_DEPTH, "key encryption keys": FULL_DEPTH}
    regions = {what: {each.scope for each in in_token if protection_of(each) == kind} for what, kind in kinds.items()}
    has = " and ".join(f"the {what} of {', '.join(sorted(scopes))}" for what, scopes in regions.items() if scopes)
    yield ok(f"{name.label!a} ({name.model}, serial number {name.serial}) has {has}")
