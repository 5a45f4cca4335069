"""Fixtures that all tests share."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres_fixture", "tests.redis_fixture", "tests.admin_server"]

# No test asserts how long something took, on machines that do other things besides.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
