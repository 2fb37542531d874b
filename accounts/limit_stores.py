"""Where workers count together: a script in Redis if there is one, else rows that are locked one after the other."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from django.conf import settings
from django.db import transaction
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts.limits import LEASE_SECONDS, SECONDS, Subject, Verdict, Window, decide, narrowest, rooms
from accounts.models import LimitWindow
from registry import threads

_REDIS_SECONDS: Final = 0.5
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


class TableStore:
    """Rows of the database, which a transaction locks in one order; in threads of its own, since it waits for them."""

    def __init__(self) -> None:
        self._pool = threads.Pool(4)

    def admit(self, subjects: Sequence[Subject], request: str, tokens: int) -> Verdict:
        """See `Store`."""
        return self._pool.run(_admit, subjects, request, tokens, time.time())

    def end(self, names: Sequence[str], request: str, more_tokens: int, second: int) -> None:
        """See `Store`."""
        self._pool.run(_change, names, lambda window: window.end(request, more_tokens, second))

    def renew(self, held: Mapping[str, Sequence[str]]) -> None:
        """See `Store`."""
        now = time.time()
        for request, names in held.items():
            self._pool.run(_change, names, lambda window, request=request: window.renew(request, now))


def _admit(subjects: Sequence[Subject], request: str, tokens: int, now: float) -> Verdict:
    names = [subject.name for subject in subjects]
    with transaction.atomic():
        rows = _locked(names)
        windows = [Window(orjson.loads(rows[name].state)) for name in names]
        verdict = decide(subjects, windows, request, tokens, now=now)
        if verdict.refused_by is None:
            for name, window in zip(names, windows, strict=True):
                _write(rows[name], window)
    return verdict


def _change(names: Sequence[str], change: Any) -> None:
    with transaction.atomic():
        for row in _locked(names).values():
            window = Window(orjson.loads(row.state))
            change(window)
            _write(row, window)


def _locked(names: Sequence[str]) -> dict[str, LimitWindow]:
    """Return the rows of these names, locked in one order; those that are not there yet are made."""
    known = set(LimitWindow.objects.filter(name__in=names).values_list("name", flat=True))
    if missing := sorted(set(names) - known):
        LimitWindow.objects.bulk_create([LimitWindow(name=name) for name in missing], ignore_conflicts=True)
    return {row.name: row for row in LimitWindow.objects.select_for_update().filter(name__in=names).order_by("name")}


def _write(row: LimitWindow, window: Window) -> None:
    LimitWindow.objects.filter(pk=row.pk).update(state=orjson.dumps(window.state()).decode())


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
    if ARGV[2] == 'renew' then
      if window.held[ARGV[1]] then window.held[ARGV[1]] = now + LEASE end
    else
      window.held[ARGV[1]] = nil
      local pair = window.used[ARGV[2]]
      if pair then pair[2] = math.max(0, pair[2] + tonumber(ARGV[3])) end
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
            client = Redis.from_url(
                url,
                socket_timeout=_REDIS_SECONDS,
                socket_connect_timeout=_REDIS_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            raise RedisError("REDIS_URL is not an address of Redis") from None  # which may hold a password
        self._admit = client.register_script(_script(_ADMIT))
        self._change = client.register_script(_script(_CHANGE))

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
        for request, names in held.items():
            self._change(self._keys(names), [request, "renew"])

    def _keys(self, names: Sequence[str]) -> list[str]:
        return [f"{self._prefix}{name}" for name in names]
