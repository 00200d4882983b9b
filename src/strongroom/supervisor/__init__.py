"""The processes of a server: the supervisor starts them, checks their heartbeats, restarts and stops them.

``supervisor`` waits for signals, heartbeats and exits; ``process_slot`` has the state of one process, and
``config_writer`` sends it settings, which ``config_reader`` receives. ``signals`` says what signals do, ``hardening``
protects the memory of processes. The supervisor answers no requests and opens no database. Of the project it imports
the settings only.
"""
