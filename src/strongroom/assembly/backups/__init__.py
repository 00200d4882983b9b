"""Makes backups of a data folder, verifies them, and restores them.

* ``maker`` makes a backup: ``files`` has its file appear whole, ``streams`` pass its bytes on, so that memory holds a
  part of it.
* ``verification`` checks one, with the root key that ``root_key_source`` opens.
* ``restore`` verifies one and loads it into a ``restored_folder``. ``destroyed_since`` reads in audit logs what was
  destroyed after the backup, ``restored_state`` destroys it again, and records the restore.

The format is that of the package ``strongroom.backup``.
"""
