"""``strongroom explain`` and ``strongroom who-can``: who may do what, and which policy decides."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import click

from strongroom.arns import parse_arn
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.options import config_option, data_option
from strongroom.cli.output import Question, json_lines_option, json_option, show_json, show_json_lines
from strongroom.clock import SystemClock
from strongroom.errors import KmsError
from strongroom.keys.arns import ALIAS_PREFIX, AliasLocator, KeyLocator
from strongroom.operations.context import Backends
from strongroom.service.explanations import Asked, Explanation, NoAnswer, explain, who_can

_key_option = click.option(
    "--key",
    help="Key id, key ARN, alias name or alias ARN; leave it out for actions without a key, such as kms:ListKeys.",
)
_context_option = click.option(
    "--context", "pairs", multiple=True, metavar="K=V", help="Encryption context; repeatable."
)
_region_option = click.option(
    "--region", help="Region of the key. Default: the ARN's, or the first Region of the settings."
)
_source_ip_option = click.option(
    "--source-ip", default="127.0.0.1", help="Address that the call comes from. Default: 127.0.0.1."
)
_no_tls_option = click.option("--no-tls", is_flag=True, help="The call comes without TLS.")


@click.command("explain", cls=Question)
@click.option("--principal", required=True, help="ARN of a root, user, role or session; or name of a service.")
@click.option("--action", required=True, help="Action, such as kms:Decrypt; the prefix kms: may be left out.")
@_key_option
@_context_option
@_region_option
@_source_ip_option
@_no_tls_option
@json_option
@data_option
@config_option
def explain_command(  # noqa: PLR0913 - one parameter for each option
    *,
    principal: str,
    action: str,
    key: str | None,
    pairs: tuple[str, ...],
    region: str | None,
    source_ip: str,
    no_tls: bool,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Tell whether PRINCIPAL may do ACTION with KEY, and which statement, grant or missing delegation decides it.

    Exits with 0 if it is allowed, with 1 if it is denied, and with 2 if there is no answer.
    """
    with _open_for_question(key, action, pairs, region, (source_ip, not no_tls), (data, config)) as (backends, asked):
        found = explain(backends, principal, asked)
    if as_json:
        show_json(found)
    else:
        _show(found)
    if not found.allowed:
        raise SystemExit(1)


@click.command("who-can", cls=Question)
@click.argument("action")
@_key_option
@_context_option
@_region_option
@_source_ip_option
@_no_tls_option
@json_lines_option
@data_option
@config_option
def who_can_command(  # noqa: PLR0913 - one parameter for each option
    *,
    action: str,
    key: str | None,
    pairs: tuple[str, ...],
    region: str | None,
    source_ip: str,
    no_tls: bool,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """List every root, user, role and service that may do ACTION with KEY, and why.

    Exits with 0 if there is any, with 1 if there is none, and with 2 if there is no answer.
    """
    some = False
    with _open_for_question(key, action, pairs, region, (source_ip, not no_tls), (data, config)) as (backends, asked):
        for found in who_can(backends, asked):
            some = True
            if as_json:
                show_json_lines([found])
            else:
                click.echo(f"{found.principal}\t{_reason(found)}")
    if not some:
        raise SystemExit(1)


@contextmanager
def _open_for_question(
    key: str | None,
    action: str,
    pairs: tuple[str, ...],
    region: str | None,
    connection: tuple[str, bool],
    folder: tuple[str | None, Path | None],
) -> Iterator[tuple[Backends, Asked]]:
    data, config = folder
    source_ip, secure = connection
    address = _address(source_ip)
    with open_data_folder(config, data) as (opened, settings):
        where = region or _region_in(key or "") or settings.regions[0]
        asked = Asked(
            action=action if ":" in action else f"kms:{action}",
            key_id=None if key is None else _key_arn(key, where, settings.account),
            region=where,
            now=SystemClock().now(),
            encryption_context=_context(pairs),
            source_ip=address,
            secure=secure,
        )
        try:
            yield opened.backends, asked
        except NoAnswer as error:
            raise click.ClickException(str(error)) from None
        except KmsError as error:
            raise click.ClickException(error.message or error.code) from None


def _key_arn(key: str, region: str, account: str) -> str:
    """Return the ARN of a key id or alias name in the default account: callers of other accounts need the ARN."""
    if key.startswith("arn:"):
        return key
    return (AliasLocator if key.startswith(ALIAS_PREFIX) else KeyLocator)(account, region, key).arn


def _region_in(key: str) -> str:
    arn = parse_arn(key)
    return "" if arn is None else arn.region


def _address(text: str) -> str:
    try:
        address = ip_address(text)
        # The server knows the peers of a listener for IPv6 by their own address, too.
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return str(mapped or address)
    except ValueError:
        raise click.BadParameter(f"`{text}` is not an IP address", param_hint="--source-ip") from None


def _context(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"`{pair}` is not K=V", param_hint="--context")
        found[name] = value
    return found


def _show(found: Explanation) -> None:
    click.echo("ALLOWED" if found.allowed else "DENIED")
    click.echo(f"  principal   {found.principal}")
    for label, fact in (("action", "action"), ("key", "resource")):
        click.echo(f"  {label:<11} {found.facts[fact]}")
    click.echo(f"  because     {_reason(found)}")
    if found.message is not None:
        click.echo(f"  AWS's words {found.message}")


def _reason(found: Explanation) -> str:
    facts = found.facts
    if "grantId" in facts:
        return f"grant {facts['grantId']}"
    if "statement" in facts:
        verb = "allows" if found.allowed else "denies"
        return f"{facts['policy']}, {facts['statement']}, {verb} it"
    if "missing" in facts:
        return str(facts["missing"])
    if found.allowed:
        where = "" if facts["resource"] == "*" else " where the key policy names its account"
        return f"{facts['decidedBy']} needs no policy of its own{where}"
    return f"{facts['decidedBy']} would have to allow it, and none does"
