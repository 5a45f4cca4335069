"""Evidence from reported outcomes and from Prometheus."""
