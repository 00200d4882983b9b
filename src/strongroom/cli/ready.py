"""``strongroom ready``: asks the server of these settings whether it is ready, as the health check of a container."""

import http.client
import ssl
from pathlib import Path

import click

from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.output import Question, json_option, show
from strongroom.settings import Settings, SettingsError, address_of

_PATIENCE = 10.0
"""Seconds to wait for an answer, which takes at most five."""
_MOST = 64 * 1024
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to reach a server that listens there


@click.command(cls=Question)
@click.option("--listen", help="HOST:PORT that the server listens on. Default: 127.0.0.1:4599.")
@json_option
@data_option
@config_option
def ready(*, listen: str | None, as_json: bool, data: str | None, config: Path | None) -> None:
    """Ask the server with these settings, on this machine, whether it is ready, and print what it answers at /readyz.

    A server that has `tls-client-ca` answers only clients that have a certificate, and this command has none. Exits
    with 0 if the server is ready, with 1 if it is not or does not answer, and with 2 if the settings cannot be used.
    """
    with readable_errors():
        settings = read_settings(config, listen=listen, data=data)
        host, port = address_of(settings.listen)
        if not port:
            raise SettingsError("`listen` has port 0, so the port of the server is not known; give it with --listen")
    try:
        status, text = _ask(settings, _EVERYWHERE.get(host, host), port)
    except (OSError, http.client.HTTPException) as error:
        why = str(error) or type(error).__name__
        status, text = None, f"no answer from {settings.scheme}://{settings.listen}/readyz: {why}"
    is_ready = status == http.client.OK
    document = {"ready": is_ready, "answered": status is not None, "text": text}
    show(document, [text], as_json=as_json)
    if not is_ready:
        raise SystemExit(1)


def _ask(settings: Settings, host: str, port: int) -> tuple[int, str]:
    """Return status and text of /readyz; raises OSError or HTTPException."""
    if settings.tls_cert is None:
        connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The certificate names the server as its clients know it, which is not this address, and no secret is sent.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=context)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status, response.read(_MOST).decode(errors="replace").rstrip("\n")
    finally:
        connection.close()
