"""What of the tests of accounts is only there with PostgreSQL: outages and locks that SQLite cannot have."""

import os

collect_ignore = (
    []
    if os.environ.get("DATABASE_URL")
    else ["test_database_away.py", "test_few_connections.py", "test_locked_rows.py"]
)
