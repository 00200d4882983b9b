"""Worker processes: started, watched by heartbeat, replaced, stopped."""
