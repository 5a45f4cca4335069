"""Feature flags evaluated in your process, with guarded progressive exposure."""
