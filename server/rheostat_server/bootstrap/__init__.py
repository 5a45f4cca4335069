"""The composition: settings become adapters, services, routes, and a running server."""
