"""Evidence from Prometheus: raw samples, each used once."""
