"""Ships the audit log while it is written: to folders, syslog servers and object storage."""
