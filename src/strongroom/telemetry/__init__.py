"""What operators see of a running server: metrics, access log, traces, log lines."""
