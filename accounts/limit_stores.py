"""Where workers count together: a script in Redis if there is one, else rows that are locked one after the other."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import orjson
from django.conf import settings
from django.db import Error as DatabaseFault
from django.db import transaction
from redis import BlockingConnectionPool, Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts.limits import LEASE_SECONDS, SECONDS, Subject, Verdict, Window, decide, narrowest, rooms
from accounts.models import LimitWindow
from accounts.waiting import STATEMENT_SECONDS, TOTAL_SECONDS
from registry import threads

T = TypeVar("T")

_REDIS_SECONDS: Final = 1.5  # a busy worker is late by itself now and then, which is no outage
_REDIS_CONNECTIONS: Final = 16  # of a worker
_CROWD_SECONDS: Final = 2.0  # that a request waits for one of them
_PREFIX: Final = "tokenhub:limit:"


class Store(Protocol):
    """A place that all workers reach. Each method raises django.db.Error, RedisError or OSError."""

    def admit(self, subjects: Sequence[Subject], request: str, tokens: int) -> Verdict:
        """Count a request for all subjects, or for none where a limit of one is in the way."""
        ...

    def end(self, names: Sequence[str], request: str, more_tokens: int, second: int) -> None:
        """Note that a request has ended; `second` is the unix second in which its tokens were counted."""
        ...

    def renew(self, held: Mapping[str, Sequence[str]]) -> None:
        """Believe for longer that requests are under way, each at these names of subjects."""
        ...


def configured() -> Store:
    """Return the store that the settings name."""
    return RedisStore(re.split("[;,]", settings.REDIS_URL)[0].strip()) if settings.REDIS_URL else TableStore()


@dataclass(slots=True)
class _Step(Generic[T]):
    """Something to do with the windows of these names, given the time; `outcome` is what came of it.

    One that nobody waits for any more is not done, unless it has begun.
    """

    names: Sequence[str]
    work: Callable[[Sequence[Window], float], T]
    outcome: T | Exception = field(default_factory=lambda: RuntimeError("the transaction ended in a mistake"))
    is_given_up: bool = False


class TableStore:
    """
    Rows of the database, which a transaction locks in one order; in a thread of its own, since it waits for them.

    Whatever has come together when the thread is free is done in one transaction. So a busy worker does not ask for
    the lock more often than a quiet one, and the others get it in time: SQLite has one, and no queue before it.
    """

    def __init__(self) -> None:
        self._pool = threads.Pool(1, statement=STATEMENT_SECONDS, total=TOTAL_SECONDS)
        self._working = threads.real_lock()  # for those who have no pool: no hub ever waits for it
        self._waiting: deque[_Step[Any]] = deque()

    def admit(self, subjects: Sequence[Subject], request: str, tokens: int) -> Verdict:
        """See `Store`."""
        names = [subject.name for subject in subjects]
        return self._do(_Step(names, lambda windows, now: decide(subjects, windows, request, tokens, now=now)))

    def end(self, names: Sequence[str], request: str, more_tokens: int, second: int) -> None:
        """See `Store`."""

        def work(windows: Sequence[Window], now: float) -> None:
            for window in windows:
                window.end(request, more_tokens, second, now)

        self._do(_Step(names, work))

    def renew(self, held: Mapping[str, Sequence[str]]) -> None:
        """See `Store`."""
        names = sorted({name for each in held.values() for name in each})

        def work(windows: Sequence[Window], now: float) -> None:
            for window in windows:
                for request in held.keys() & window.held.keys():
                    window.renew(request, now)

        if names:
            self._do(_Step(names, work))

    def _do(self, step: _Step[T]) -> T:
        self._waiting.append(step)
        try:
            self._pool.run(self._work)  # which finds nothing to do if a step before this one took it along
        except DatabaseFault:
            step.is_given_up = True
            raise
        if isinstance(step.outcome, Exception):
            raise step.outcome
        return step.outcome

    def _work(self) -> None:
        with self._working:
            taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
            steps = [step for step in taken if not step.is_given_up]
            try:
                if steps:
                    _take(steps)
            except DatabaseFault as error:
                # whoever came meanwhile has waited as well, and would wait once more for the same
                for step in [*steps, *(self._waiting.popleft() for _ in range(len(self._waiting)))]:
                    step.outcome = error


def _take(steps: Sequence[_Step[Any]]) -> None:
    names = sorted({name for step in steps for name in step.names})
    with transaction.atomic():
        rows = _locked(names)
        now = time.time()  # read with the rows locked: whoever comes later is later
        windows = {name: Window(orjson.loads(row.state)) for name, row in rows.items()}
        for step in steps:
            step.outcome = step.work([windows[name] for name in step.names], now)
        for name, row in rows.items():
            if (state := orjson.dumps(windows[name].state()).decode()) != row.state:
                LimitWindow.objects.filter(pk=row.pk).update(state=state)


def _locked(names: Sequence[str]) -> dict[str, LimitWindow]:
    """Return the rows of these names, locked in one order; those that are not there yet are made."""
    known = set(LimitWindow.objects.filter(name__in=names).values_list("name", flat=True))
    if missing := sorted(set(names) - known):
        LimitWindow.objects.bulk_create([LimitWindow(name=name) for name in missing], ignore_conflicts=True)
    return {row.name: row for row in LimitWindow.objects.select_for_update().filter(name__in=names).order_by("name")}


# The same as `limits.Window`, for all subjects in one step and by one clock, which is Redis's own. Each key holds JSON.
# Returns why not (an index from 1, the kind, the seconds to wait) or nothing, what each subject used, and the second.
_ADMIT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local second, request, tokens = time[1], ARGV[1], tonumber(ARGV[2])
local windows, refused = {}, {}

local function sum(window, index)
  local total = 0
  for _, pair in pairs(window.used) do total = total + pair[index] end
  return total
end

local function wait(window, index, most)
  local seconds, left = {}, sum(window, index)
  for at in pairs(window.used) do seconds[#seconds + 1] = tonumber(at) end
  table.sort(seconds)
  for _, at in ipairs(seconds) do
    left = left - window.used[tostring(at)][index]
    if left <= most then return math.max(1, at + SECONDS - now) end
  end
  return SECONDS
end

for i, key in ipairs(KEYS) do
  local raw = redis.call('GET', key)
  local window = raw and cjson.decode(raw) or {used = {}, held = {}}
  local used, held, holders = {}, {}, 0
  for at, pair in pairs(window.used) do
    if tonumber(at) > now - SECONDS then used[at] = pair end
  end
  for who, till in pairs(window.held) do
    if till > now then held[who] = till; holders = holders + 1 end
  end
  windows[i] = {used = used, held = held}
  local rpm, tpm, concurrent = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  if #refused == 0 then
    if concurrent >= 0 and holders >= concurrent then
      refused = {i, 'concurrent', '1'}
    elseif rpm >= 0 and sum(windows[i], 1) + 1 > rpm then
      refused = {i, 'requests', tostring(wait(windows[i], 1, rpm - 1))}
    elseif tpm >= 0 and sum(windows[i], 2) + tokens > tpm then
      refused = {i, 'tokens', tostring(wait(windows[i], 2, tpm - tokens))}
    end
  end
end

local rooms = {}
for i, window in ipairs(windows) do
  if #refused == 0 then
    local pair = window.used[second] or {0, 0}
    window.used[second] = {pair[1] + 1, pair[2] + tokens}
    if tonumber(ARGV[3 * i + 2]) >= 0 then window.held[request] = now + LEASE end
    redis.call('SET', KEYS[i], cjson.encode(window), 'EX', EXPIRY)
  end
  local newest = 0
  for at in pairs(window.used) do newest = math.max(newest, tonumber(at) + SECONDS - now) end
  rooms[i] = {sum(window, 1), sum(window, 2), tostring(newest)}
end
return {refused, rooms, second}
"""
_CHANGE: Final = """
local now = tonumber(redis.call('TIME')[1])
for _, key in ipairs(KEYS) do
  local raw = redis.call('GET', key)
  if raw then
    local window = cjson.decode(raw)
    window.held[ARGV[1]] = nil
    local second, more = tonumber(ARGV[2]), tonumber(ARGV[3])
    if second <= now - SECONDS then second, more = now, math.max(0, more) end
    local pair = window.used[tostring(second)] or {0, 0}
    window.used[tostring(second)] = {pair[1], math.max(0, pair[2] + more)}
    redis.call('SET', key, cjson.encode(window), 'EX', EXPIRY)
  end
end
"""
_RENEW: Final = """
local now = tonumber(redis.call('TIME')[1])
for _, key in ipairs(KEYS) do
  local raw = redis.call('GET', key)
  if raw then
    local window = cjson.decode(raw)
    for _, request in ipairs(ARGV) do
      if window.held[request] then window.held[request] = now + LEASE end
    end
    redis.call('SET', key, cjson.encode(window), 'EX', EXPIRY)
  end
end
"""


def _script(text: str) -> str:
    expiry = int(LEASE_SECONDS + SECONDS)
    constants = {"SECONDS": SECONDS, "LEASE": int(LEASE_SECONDS), "EXPIRY": expiry}
    for name, value in constants.items():
        text = re.sub(rf"\b{name}\b", str(value), text)
    return text


class RedisStore:
    """One script an admission. It is called on the hub, whose sockets give way while Redis answers."""

    def __init__(self, url: str, *, prefix: str = _PREFIX) -> None:
        self._prefix = prefix
        try:
            pool = BlockingConnectionPool.from_url(  # many requests at once wait for a connection, which is no outage
                url,
                max_connections=_REDIS_CONNECTIONS,
                timeout=_CROWD_SECONDS,
                socket_timeout=_REDIS_SECONDS,
                socket_connect_timeout=_REDIS_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
            client = Redis(connection_pool=pool)
        except ValueError:
            raise RedisError("REDIS_URL is not an address of Redis") from None  # which may hold a password
        self._admit = client.register_script(_script(_ADMIT))
        self._change = client.register_script(_script(_CHANGE))
        self._renew = client.register_script(_script(_RENEW))

    def admit(self, subjects: Sequence[Subject], request: str, tokens: int) -> Verdict:
        """See `Store`."""
        limits = [
            -1 if limit is None else limit
            for subject in subjects
            for limit in (subject.limits.rpm, subject.limits.tpm, subject.limits.concurrent)
        ]
        keys = self._keys([each.name for each in subjects])
        refused, used, second = self._admit(keys, [request, tokens, *limits])
        left = narrowest(
            rooms(subject.limits, requests=requests, tokens=tokens, reset=float(reset))
            for subject, (requests, tokens, reset) in zip(subjects, used, strict=True)
        )
        if not refused:
            return Verdict(rooms=left, second=int(second))
        index, kind, wait = refused
        return Verdict(subjects[index - 1], kind.decode(), float(wait), left)

    def end(self, names: Sequence[str], request: str, more_tokens: int, second: int) -> None:
        """See `Store`."""
        self._change(self._keys(names), [request, str(second), more_tokens])

    def renew(self, held: Mapping[str, Sequence[str]]) -> None:
        """See `Store`."""
        names = sorted({name for each in held.values() for name in each})
        if names:
            self._renew(self._keys(names), list(held))

    def _keys(self, names: Sequence[str]) -> list[str]:
        return [f"{self._prefix}{name}" for name in names]
