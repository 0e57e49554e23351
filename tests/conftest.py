"""Nothing in the tests may reach for a network, and no test may fail for being slow."""

import os

from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
os.environ["VLLM_NO_USAGE_STATS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
