"""What two gateways need is only there with PostgreSQL, as in the tests of accounts."""

import os

collect_ignore_glob = [] if os.environ.get("DATABASE_URL") else ["test_*.py"]
