"""Locks that real threads share with the hub stay Python's own: gevent's can forget who waits in another thread."""

import _thread
import logging
import threading
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Final

from gevent import monkey

# Whoever holds a lock of these does not wait for anything meanwhile, so nobody waits long for it, the hub neither.
_OF_THREADING: Final = ("logging", "asgiref.local", "django.dispatch.dispatcher")
_OF_METRICS: Final = tuple(f"prometheus_client.{name}" for name in ("values", "metrics", "registry"))


def keep_native() -> None:
    """
    Give Python's own locks to imports and to the modules that pool threads and requests both use.

    To be called after gevent's patches, before anything else is imported. A lock of gevent's that two threads want at
    the same moment may never be given to one of them, which then hangs for ever. Source: gevent's issue 1744.
    """
    lock, rlock = monkey.get_original("_thread", "allocate_lock"), monkey.get_original("_thread", "RLock")
    ident = monkey.get_original("_thread", "get_ident")
    importing = import_module("importlib._bootstrap")
    for held in filter(None, (reference() for reference in list(importing._module_locks.values()))):  # noqa: SLF001
        if held.owner is not None:  # an import under way, this one's too, is to end as whom it began
            held.owner = ident()
    setattr(importing, "_thread", _with(_thread, allocate_lock=lock, RLock=rlock, get_ident=ident))  # noqa: B010
    for name in _OF_THREADING:
        setattr(import_module(name), "threading", _with(threading, Lock=lock, RLock=rlock))  # noqa: B010
    for name in _OF_METRICS:
        setattr(import_module(name), "Lock", lock)  # noqa: B010
    logging._lock = rlock()  # type: ignore[attr-defined]  # noqa: SLF001 - it was made before the patches
    if logging.lastResort is not None:
        logging.lastResort.createLock()


def _with(module: ModuleType, **replaced: object) -> SimpleNamespace:
    return SimpleNamespace(**(vars(module) | replaced))
