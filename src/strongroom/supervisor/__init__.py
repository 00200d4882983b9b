"""Worker processes: the supervisor starts them, checks their heartbeats, restarts and stops them."""
