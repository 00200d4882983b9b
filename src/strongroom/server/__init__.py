"""The server: one event loop that takes requests through the pipeline turn by turn, and the threads behind it."""
