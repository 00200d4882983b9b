"""Puts the parts together: the only package that names concrete back ends.

* ``deployment`` opens a data folder (``data_folder``) and builds the service on it; ``serving`` runs it.
* What a start checks first: ``serving_lock``, ``database_check``, ``database_history``, ``row_authentication``,
  ``served_regions``. ``record_check`` checks every record.
* ``node``, ``clock_record``: what a node keeps of itself. ``audit_log`` opens and verifies the audit log.
* What commands change: ``registrar`` makes accounts and services, ``root_keys`` root access keys; ``provider_keys``,
  ``key_policies``, ``audit_archive``. ``command_trail`` records it. ``credentials`` is the file of access keys,
  ``profiles`` compares it with the database.
* ``backups`` makes, verifies and restores backups. ``doctor`` checks a deployment.

Rules about keys, policies and requests do not belong here.
"""
