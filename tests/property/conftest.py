"""The same examples on every run; `TFS_PROXY_EXPLORE=20 pytest tests/property` tries 20 times as many new ones."""

import os

from hypothesis import HealthCheck, settings

EXPLORE = int(os.environ.get("TFS_PROXY_EXPLORE", "0"))

settings.register_profile(
    "tfs-proxy",
    deadline=None,
    derandomize=not EXPLORE,
    max_examples=80 * max(1, EXPLORE),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tfs-proxy")
