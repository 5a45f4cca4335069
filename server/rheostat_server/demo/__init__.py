"""The whole story in one terminal: a ramp, a fault, a kill."""
