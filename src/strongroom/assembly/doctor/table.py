"""The checks, in the order in which they are run and shown."""

from strongroom.assembly.doctor.audit import check_backup, check_log, check_shipping, check_size, check_writers
from strongroom.assembly.doctor.database import (
    check_every_record,
    check_pages,
    check_root_key,
    check_schema,
    check_set_back,
    check_write_ahead_log,
)
from strongroom.assembly.doctor.events import check_events
from strongroom.assembly.doctor.examination import Check
from strongroom.assembly.doctor.files import check_disk, check_folder, check_secret_files
from strongroom.assembly.doctor.keys import check_destructions, check_due
from strongroom.assembly.doctor.machine import check_cryptography, check_memory
from strongroom.assembly.doctor.nodes import (
    check_database_clock,
    check_database_role,
    check_database_server,
    check_nodes,
)
from strongroom.assembly.doctor.service import (
    check_certificate,
    check_clock,
    check_credentials,
    check_problems,
    check_regions,
    check_server,
    check_settings,
)
from strongroom.assembly.doctor.token import check_token

CHECKS = (
    Check("settings", check_settings),
    Check("secret-files", check_secret_files),
    Check("folder", check_folder),
    Check("disk", check_disk),
    Check("server", check_server),
    Check("problems", check_problems),
    Check("database", check_pages, reads_database=True),
    Check("schema", check_schema, reads_database=True),
    Check("database-server", check_database_server),
    Check("database-role", check_database_role),
    Check("database-clock", check_database_clock),
    Check("nodes", check_nodes, reads_database=True),
    Check("set-back", check_set_back, reads_database=True),
    Check("root-key", check_root_key, reads_database=True),
    Check("token", check_token, reads_database=True),
    Check("records", check_every_record, slow=True, reads_database=True),
    Check("write-ahead-log", check_write_ahead_log),
    Check("audit-log", check_log, slow=True, reads_database=True),
    Check("audit-writers", check_writers, reads_database=True),
    Check("audit-size", check_size, reads_database=True),
    Check("audit-shipping", check_shipping),
    Check("events", check_events),
    Check("backup", check_backup),
    Check("clock", check_clock),
    Check("credentials", check_credentials, reads_database=True),
    Check("regions", check_regions, reads_database=True),
    Check("certificate", check_certificate),
    Check("keys", check_due, reads_database=True),
    Check("destructions", check_destructions, reads_database=True),
    Check("cryptography", check_cryptography),
    Check("memory", check_memory),
)
