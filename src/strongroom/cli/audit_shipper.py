"""Ships the audit log while the workers write it.

The supervisor starts it before the workers, with its settings on standard input, and stops it after them by closing
that: then it ships what is left, for ``drain`` seconds at most. It opens neither the database nor a key: what talks to
other machines holds no secret but the credentials for them.
"""

import signal
from threading import Thread

import click

from strongroom.assembly.audit_shipping import open_shippers
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.node import require_node_id
from strongroom.cli.supervised_process import SupervisedProcess
from strongroom.clock import SystemClock
from strongroom.problems import SHIPPER, Problems, Subject
from strongroom.settings import Settings
from strongroom.shipping.acknowledgements import Acknowledgements
from strongroom.shipping.progress import DamagedProgressError, Progress
from strongroom.supervisor.process_slot import HEARTBEAT_INTERVAL
from strongroom.telemetry.logs import name_node, set_log_level

_SHORT = 0.05


@click.command()
def audit_shipper() -> None:
    """Ship until standard input ends."""
    # Workers still write, when SIGTERM is sent to all processes of the server at once.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    process = SupervisedProcess()
    with process.reporting_failure():
        settings = process.config.settings
        log = process.start(SHIPPER)
        name_node(log, require_node_id(DataFolder(settings.folder)))
        problems = Problems(DataFolder(settings.folder).problems, SHIPPER)
        shipping = _Shipping(settings, problems)
        shipping.run(process)
        problems.close()


class _Shipping:
    """The threads that ship, and this one, which answers workers and tells how it is going."""

    def __init__(self, settings: Settings, problems: Problems) -> None:
        self._settings = settings
        self._problems = problems
        self._clock = SystemClock()
        try:
            self._shippers = open_shippers(settings, self._clock, self._note_progress)
        except DamagedProgressError as error:
            raise DataFolderError(str(error)) from None
        folder = DataFolder(settings.folder).shipping
        self._progress = {each.to: Progress(folder, each.to) for each in self._shippers}
        required = [each for each in self._shippers if each.required]
        self._workers = Acknowledgements(folder, required)
        self._threads = [Thread(target=each.run, name=each.to, daemon=True) for each in self._shippers]

    def run(self, process: SupervisedProcess) -> None:
        """Ship until the supervisor ends this process, and then what is left."""
        for thread in self._threads:
            thread.start()
        self._workers.register(process.settings.descriptor)
        told_at = -HEARTBEAT_INTERVAL
        while not process.settings.ended:
            if self._clock.timer() - told_at >= HEARTBEAT_INTERVAL:
                told_at = self._clock.timer()
                process.send_heartbeat()
                self._tell()
            if self._workers.wait(HEARTBEAT_INTERVAL) and (found := process.settings.next()) is not None:
                self._settings = found.settings
                set_log_level(found.settings)
        self._drain()

    def _drain(self) -> None:
        end = self._clock.timer() + self._settings.drain
        for each in self._shippers:
            each.stop()
        for thread in self._threads:
            thread.join(max(_SHORT, end - self._clock.timer()))
        self._tell()
        self._workers.close()

    def _note_progress(self) -> None:
        self._workers.note_progress()

    def _tell(self) -> None:
        """Write the status of each destination, and the problem that there is with some of them."""
        found = []
        for each in self._shippers:
            status = each.status()
            self._progress[each.to].tell(status)
            if status.failing:
                found.append(f"the audit log is not shipped to {each.to}: {status.failing}")
            elif status.lag > self._settings.audit_ship_lag + each.interval:
                found.append(f"the audit log is shipped to {each.to} with a delay that is too long")
        if found:
            self._problems.report(Subject.AUDIT_SHIPPING, ", and ".join(found))
        else:
            self._problems.resolve(Subject.AUDIT_SHIPPING)
