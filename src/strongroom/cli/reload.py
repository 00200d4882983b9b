"""Reads the settings anew for a server that runs, and says in its log what of them it takes on."""

import logging
from collections.abc import Callable

import click

from strongroom.cli.data_folder import readable_errors
from strongroom.server.tls import Tls
from strongroom.settings import Settings
from strongroom.settings_sources import changed, reloaded
from strongroom.supervisor.service_manager import ServiceManager

logger = logging.getLogger(__name__)


class Reload:
    """The settings of a server, as they were read and as it runs with them: there its ports have numbers."""

    def __init__(
        self, read: Callable[[], Settings], as_read: Settings, running: Settings, service_manager: ServiceManager
    ) -> None:
        """``read`` reads the settings as the start did; raises SettingsError or OSError."""
        self._service_manager = service_manager
        self._read = read
        self._as_read = as_read
        self._running = running

    def again(self, renew: Callable[[Settings], None]) -> None:
        """Read settings and certificates anew, and call ``renew`` with the settings to run with from now on.

        If anything in them cannot be used, one line of the log says so, and all stays as it is. Settings that need a
        restart are named. The service manager hears when that begins, and that it is over.
        """
        self._service_manager.reloading()
        try:
            self._read_again(renew)
        finally:
            self._service_manager.ready()

    def _read_again(self, renew: Callable[[Settings], None]) -> None:
        try:
            with readable_errors():
                read = self._read()
                running = reloaded(self._running, read)
                Tls(running)
                renew(running)
        except click.ClickException as error:
            logger.error("SIGHUP: everything stays as it was: %s", error.message)  # noqa: TRY400 - one line is enough
            return
        taken = changed(self._running, running)
        waiting = changed(self._as_read, read) & changed(running, read)
        news = [f"took on {_listed(taken)}"] if taken else []
        if running.tls_cert is not None:
            news.append("read the certificates anew")
        if waiting:
            news.append(f"a restart is needed for {_listed(waiting)}")
        level = logging.WARNING if waiting else logging.INFO
        logger.log(level, "SIGHUP: %s", "; ".join(news) or "no setting has changed")
        self._running = running


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(name.replace("_", "-") for name in names))
