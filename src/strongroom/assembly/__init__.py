"""Puts the parts together: the only package that names concrete back ends.

``deployment`` opens a data folder (``data_folder``) and builds the service on it, ``serving`` runs it, ``node`` keeps
the identity of the node, ``audit_log`` opens and verifies the audit log, ``registrar`` makes accounts and services, and
``credentials`` writes the file with their access keys. Rules about keys, policies and requests do not belong here.
"""
