"""Durable state: what the service keeps, behind the interfaces ``Store``, ``Reader`` and ``Transaction``.

* ``protocol``: the interfaces. ``subjects``: the reads and writes of each subject, of which they are composed.
* ``records``: rows without behaviour. ``scopes``, ``retries``: what a write locks, and when it is run again.
* ``faults``, ``fault_watch``: what can be wrong with a database, and what of that is open. ``quarantine``,
  ``row_authenticator``: records that are not used, and how they are known.
* ``sql``: the statements that all databases share. ``sqlite``: the implementation with SQLite.
* ``audit``: the audit log in files.

Other packages use the interfaces; only ``assembly`` names an implementation, and only this package speaks SQL. Policies
and the rules about keys do not belong here: a transaction writes what an operation has decided.
"""
