"""Checks of what a server goes by: its settings, certificate and clock, and of the problems it tells of."""

from collections.abc import Iterator

from strongroom.assembly.clock_record import known_at
from strongroom.assembly.doctor.results import Finding, Status, ok, told, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.assembly.profiles import Profiles
from strongroom.assembly.served_regions import unserved_regions
from strongroom.assembly.settings_files import require_issuer_keys
from strongroom.audit.cloudtrail import event_time
from strongroom.crypto.documents.attestation import Attestations
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.maintenance.clock_watch import describe, reading_of
from strongroom.problems import Subject, problems_in
from strongroom.server.tls import Tls, problem_of
from strongroom.service.request_quotas import RequestQuotas
from strongroom.settings import SettingsError
from strongroom.store.audit.segments import segments_of

_SERIOUS = frozenset({Subject.STORE, Subject.INTEGRITY, Subject.ROWS, Subject.DOMAIN_KEYS, Subject.AUDIT})
_LOOK = "look for its cause in the log of the server"


def check_settings(scene: Scene) -> Iterator[Finding]:
    """Find out whether the settings, and the files they name, can be used."""
    if isinstance(scene.found_settings, SettingsError):
        raise scene.found_settings
    settings = scene.settings
    Attestations(settings.attestation_roots, settings.attestation_age, settings.clock_skew)
    RequestQuotas(settings.request_quotas, settings.regions)
    for issuers, name in (
        (settings.identity_providers, "identity-providers"),
        (settings.identity_provider_keys, "identity-provider-keys"),
    ):
        try:
            require_issuer_keys(issuers, name)
        except SettingsError as error:
            yield warning(str(error), "tokens of that issuer are refused until the file is there")
    yield ok(f"listens on {settings.listen}, serves {', '.join(settings.regions)}, durability {settings.durability}")


def check_server(scene: Scene) -> Iterator[Finding]:
    """Find out whether a server runs. That none does is no fault here: a probe of ``/readyz`` tells of it."""
    yield ok("a server is using the data folder" if scene.is_served else "no server is using the data folder")


def check_problems(scene: Scene) -> Iterator[Finding]:
    """Tell the open problems of the running server, which ``/readyz`` also tells."""
    if not scene.is_served:
        yield ok("no server runs that could tell of any")
        return
    found = problems_in(scene.folder.problems)
    for each in found:
        yield told(each.text, Status.CRITICAL if each.subject in _SERIOUS else Status.WARNING, _LOOK)
    if not found:
        yield ok("the server tells of none")


def check_clock(scene: Scene) -> Iterator[Finding]:
    """Find out whether the server trusts the clock of the machine."""
    folder = scene.folder
    known = known_at(folder, reading_of(scene.clock))
    if known is None and not folder.clock.exists() and folder.audit.is_dir() and not segments_of(folder.audit):
        yield ok("no server has used the folder yet")
        return
    if known is None:
        yield warning(
            f"`{folder.clock}` is missing or damaged, so it is not known how much time has passed",
            "start a server, which writes it; look at `date` before",
        )
        return
    doubt = known.doubt()
    if doubt is not None:
        yield warning(
            describe(doubt, known.difference), "compare `date` with another clock; see: strongroom clock status"
        )
    else:
        yield ok(f"not in doubt; the trusted time is {event_time(known.trusted)}")


def check_credentials(scene: Scene) -> Iterator[Finding]:
    """Find out whether the access keys in ``credentials`` work."""
    profiles = Profiles(scene.folder, scene.store, ServiceSecrets(scene.domain_keys))
    for problem in profiles.problems():
        yield told(problem, Status.WARNING)
    yield ok("every access key in `credentials` works" if scene.folder.credentials.exists() else "there is no file")


def check_regions(scene: Scene) -> Iterator[Finding]:
    """Find out whether every Region that has keys is served, here or by a node that lives."""
    served = {*scene.settings.regions}
    if scene.folder.is_shared:
        with scene.store.read() as reader:
            served.update(region for member in reader.members() if member.is_alive for region in member.regions)
    for region, keys in sorted(unserved_regions(scene.store, served).items()):
        yield warning(
            f"{region} has {keys} key{'' if keys == 1 else 's'} and is not served",
            "add the Region to `regions` and start the server again",
        )
    yield ok("every Region that has keys is served")


def check_certificate(scene: Scene) -> Iterator[Finding]:
    """Find out whether the TLS certificate can be used, and for how long."""
    settings = scene.settings
    validity = Tls(settings).validity
    if validity is None:
        yield ok("no TLS")
        return
    now = scene.clock.now()
    problem = problem_of(validity, now)
    if problem is None:
        yield ok(f"`{validity.file}` expires at {event_time(validity.ends)}")
    else:
        yield told(problem, Status.WARNING if validity.begins <= now < validity.ends else Status.CRITICAL)
