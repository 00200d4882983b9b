"""The command line: ``strongroom`` and its subcommands, one module each.

This package imports none of them, so that each process loads only what it needs. ``main`` is the group of commands,
``options`` the settings that they share, ``times`` and ``progress`` their times and progress bars. ``output`` has
tables, JSON and exit codes. ``data_folder`` reports errors of an operator in one line. ``audit_output`` formats what
``strongroom audit`` prints, and ``backup_options`` has what ``backup`` and ``restore`` share. ``loading`` loads modules
in less time. ``process`` runs what the supervisor starts: ``worker``, ``agent``, ``audit_shipper`` and
``event_sender``. ``reload`` reads settings anew while a server runs.
"""
