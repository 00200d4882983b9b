"""The format of backups without I/O: blocks, sections of tables, the manifest, names of files, what audit logs add.

* ``blocks``: the frames of the file. ``writer`` and ``reader`` make and check a whole backup.
* ``manifest``: what a backup says about itself, and the bytes that are signed.
* ``destructions``: what was destroyed after a backup, from the records of the audit log.
* ``file_names``: names of dated backups, and which of them are too many.

Everything here is pure: no I/O, no clock, no randomness. ``store/sql/sections.py`` reads and writes the rows,
``crypto/age`` encrypts, and ``assembly`` puts it together.
"""
