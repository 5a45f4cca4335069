"""Fixtures that all tests share."""

pytest_plugins = ["tests.postgres_fixture", "tests.redis_fixture", "tests.admin_server"]
