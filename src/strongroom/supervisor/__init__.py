"""Worker processes: the supervisor starts them, checks their heartbeats, restarts and stops them.

``supervisor`` waits for signals, heartbeats and exits; ``worker_slot`` has the state of one worker, and
``config_writer`` sends it settings, which ``config_reader`` receives. ``signals`` says what signals do, ``hardening``
protects the memory of processes. The supervisor answers no requests and opens no database. Of the project it imports
the settings only.
"""
