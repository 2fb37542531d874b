"""A process of `bench.growth`: adds so many client keys, that nobody has, to the database of its environment."""

import sys

import django

django.setup()

from accounts.models import ApiKey  # noqa: E402 - models exist only from here on

if __name__ == "__main__":
    keys = (ApiKey(name=f"key {each}", public_id=f"{each:012}", digest="x") for each in range(int(sys.argv[1])))
    ApiKey.objects.bulk_create(keys, batch_size=1000)
