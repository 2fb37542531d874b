"""The project's settings with the environment of a test: nothing of the developer's own is read."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

for name in (
    "SECRET_KEY",
    "DEBUG",
    "TOKENHUB_BEHIND_TLS",
    "TOKENHUB_PRIVATE_UPSTREAMS",
    "TOKENHUB_ENCRYPTION_KEY_FILE",
):
    os.environ.pop(name, None)
os.environ["TOKENHUB_ENV_FILE"] = ""
os.environ["TOKENHUB_ENCRYPTION_KEY"] = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="

from tokenhub_site.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TOKENHUB_REFRESH_SECONDS = TOKENHUB_LEDGER_SECONDS = 0
_folder = TemporaryDirectory(prefix="tokenhub-tests-")
TOKENHUB_DATA_DIR = Path(_folder.name)
