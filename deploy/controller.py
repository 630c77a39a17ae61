#!/usr/bin/env python3
"""A reference door controller: reads PINs from standard input, and goes on while the server is away.

    GATEHOUSE_READER_KEY=ghr_… python3 controller.py --url http://127.0.0.1:8000 --channel 1 --store door-1

Online the server decides. Offline the controller does, by the list that it keeps in --store (for its owner alone);
without a whole list nobody is let in. What it decided is written down before the door opens, and sent when the server
is back, under an id that the server counts once. It needs Python 3.11 and nothing else.
"""

import argparse
import hmac
import json
import math
import os
import re
import sys
import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from urllib import parse, request
from zoneinfo import ZoneInfo

UTC = timezone.utc
# What it keeps beyond a restart, one file each, before there is anything.
NO_LIST, NO_TRIES = {"entries": {}, "cursor": None, "whole": False}, {"failures": 0, "at": 0, "wait_until": 0}
NOTHING_KEPT = {"list": NO_LIST, "tries": NO_TRIES, "after": 0, "events": [], "refused": []}
FINGERPRINTS = ("fingerprint", "duress_fingerprint")


# The rule, pure: what the server decides, by the list alone.


def reached(now, local, zone, fold):
    """Whether a wall-clock time has come; of two the one that `fold` says, and a skipped one with the change."""
    moment = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return now >= moment
    return now.astimezone(zone).replace(tzinfo=None) > local


def of_day(day, hours, holidays):
    """The [start, end] of the stretches that begin on a day; a holiday closes, keeps or replaces them."""
    usual = [stretch for stretch in hours if stretch[0] == day.weekday()]
    for holiday in holidays:
        if holiday["day"] == day.isoformat():
            instead = holiday["hours"] if any(stretch[3] == "holiday_hours" for stretch in hours) else []
            return [stretch[1:3] for stretch in usual if stretch[3] == "as_usual"] + instead
    return [stretch[1:3] for stretch in usual]


def is_open(hours, now, zone, early=0, holidays=()):
    """Whether weekly hours are open. A stretch belongs to the day it starts on; its end may be on the next one."""
    soon = now + timedelta(seconds=early)
    for back in range(3):
        day = soon.astimezone(zone).date() - timedelta(days=back)
        for start, end in of_day(day, hours, holidays):
            first = datetime.fromisoformat(f"{day}T{start}")
            last = datetime.fromisoformat(f"{day + timedelta(days=end <= start)}T{end}")
            if reached(soon, first, zone, 0) and not reached(now, last, zone, 1):
                return True
    return False


def within(now, start, end):
    return (start is None or datetime.fromisoformat(start) <= now) and (
        end is None or now < datetime.fromisoformat(end)
    )


def decide(door, entry, now, age):
    """(why not, "" to let in; whether the door was open anyway). The list was confirmed `age` seconds ago."""
    zone = ZoneInfo(door["time_zone"])
    if entry is None:
        return "invalid_pin", False
    if door["state"] == "locked_down":
        return "lockdown", False
    if door["state"] == "unlocked" and within(now, None, door["relock_at"]):
        return "", True
    if door["auto_unlock"] is not None and is_open(door["auto_unlock"], now, zone, 0, door["holidays"]):
        return "", True
    for reason, holds in (
        ("credential_not_enabled", entry["enabled"]),
        ("credential_expired", within(now, None, entry["ends_at"])),
        ("person_not_enabled", entry["person_enabled"]),
        ("person_not_active", within(now, entry["valid_from"], entry["valid_to"])),
    ):
        if not holds:
            return reason, False
    reason = "not_permitted_at_this_time"
    for grant in entry["grants"]:
        is_visit = entry["is_visitor"] or grant["reservation_id"] is not None
        if is_visit and age > door["visitor_seconds"]:
            continue
        if within(now, grant["from"], grant["until"]) and (
            grant["hours"] is None or is_open(grant["hours"], now, zone, grant["early_seconds"], door["holidays"])
        ):
            if not grant["awaits_check_in"]:
                return "", False
            reason = "not_checked_in"
    return reason, False


class Away(Exception):
    """The server cannot be asked."""


class EveryAnswer(request.HTTPErrorProcessor):
    """An answer is an answer, whatever its status; none leads elsewhere, where the key would be shown."""

    def http_response(self, request, response):
        return response

    https_response = http_response


class Controller:
    def __init__(self, url, stream, key, channel, store):
        self.url = f"{url.rstrip('/')}/api/3/channels/{channel}"
        self.stream = stream and f"{stream.rstrip('/')}/api/3/channels/{channel}"
        self.key, self.store = key, Path(store)
        self.digest_key = hmac.digest(key.encode(), f"gatehouse access list {channel}".encode(), "sha256")
        self.opener, self.lock, self.etag = request.build_opener(EveryAnswer), threading.RLock(), None
        self.store.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, nothing in NOTHING_KEPT.items():
            setattr(self, name, nothing)
            with suppress(OSError, ValueError):
                setattr(self, name, json.loads((self.store / f"{name}.json").read_text()))
        self.offset = self.list.get("offset", 0)

    def keep(self, name, value):
        """Write a file that its owner alone can read, whole or not at all."""
        with self.lock:
            draft = self.store / f".{name}"
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self.store / f"{name}.json")
            setattr(self, name, value)

    def ask(self, path, body=None, patience=10, base=None, **headers):
        """(status, JSON) of the server; whoever answers otherwise is not the server."""
        headers |= {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        asked = request.Request((base or self.url) + path, data, headers)
        try:
            with self.opener.open(asked, timeout=patience) as answer:
                told = json.loads(answer.read() or "{}")
                offset = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
        except (OSError, HTTPException, TypeError, ValueError) as failure:
            raise Away from failure
        if answer.status >= 500 or answer.status in (301, 302, 303, 307, 308):
            raise Away
        self.offset, self.etag = offset, answer.headers.get("ETag") if "/access_list" in path else self.etag
        return answer.status, told

    def now(self):
        # The header and a clock that is right differ by parts of a second.
        return time.time() + (self.offset if abs(self.offset) > 2 else 0)

    # At the keypad

    def typed(self, value):
        """Decide about a PIN: (seconds to open for, or 0; seconds to wait, or 0)."""
        attempt, moment = str(uuid.uuid4()), self.now()
        try:
            status, answer = self.ask("/access_attempts", {"value": value, "attempt_id": attempt}, patience=3)
        except Away:
            with self.lock:
                return self.alone(value, attempt, moment) if self.list["whole"] else (0, 0)
        return (answer.get("release_seconds") or 0, answer.get("retry_after") or 0) if status == 200 else (0, 0)

    def alone(self, value, attempt, moment):
        door, now = self.list["channel"], datetime.fromtimestamp(moment, UTC)
        found = hmac.digest(self.digest_key, f"pin|{value}".encode(), "sha256").hex()
        known = {each[name]: (each, name) for each in self.list["entries"].values() for name in FINGERPRINTS}
        entry, name = known.get(found, (None, None))
        wait = self.tries["wait_until"] - moment
        if wait > 0:
            entry, reason, was_open = None, "throttled", False
        else:
            reason, was_open = decide(door, entry, now, moment - self.list["confirmed_at"])
        if reason == "invalid_pin" and 4 <= len(value) <= 8 and value.isdecimal():
            wait = self.count(door, moment)
        told = {"id": attempt, "occurred_at": now.isoformat(), "admitted": reason == "", "reason": reason}
        if entry is not None:
            told |= {"credential_id": entry["credential_id"], "was_open": was_open, "duress": name != FINGERPRINTS[0]}
        # Written down before the door opens.
        self.keep("events", [*self.events, told])
        return (0 if reason else door["release_seconds"]), max(0, math.ceil(wait))

    def count(self, door, moment):
        """A wrong PIN costs time, after a restart too; one failure is forgotten in an hour."""
        failures = max(0, self.tries["failures"] - int((moment - self.tries["at"]) // 3600)) + 1
        over = failures - door["free_tries"]
        wait = min(door["first_wait_seconds"] * 2 ** min(over - 1, 20), door["longest_wait_seconds"]) if over > 0 else 0
        self.keep("tries", {"failures": failures, "at": moment, "wait_until": moment + wait})
        return wait

    # In the background

    def follow(self):
        """Carry out commands, then say so. What was taken is written down first: no door opens twice."""
        status, answer = self.ask(f"/commands?after={self.after}")
        if status != 200:
            self.forget(status)
            return
        stands = {"state": answer["state"], "relock_at": answer["relock_at"]}
        if self.list["whole"] and self.list["channel"] | stands != self.list["channel"]:
            # A lock-down holds through an outage and a restart, whenever the list was last looked at.
            self.keep("list", {**self.list, "channel": self.list["channel"] | stands})
        for command in answer["commands"]:
            self.keep("after", command["id"])
            print(f"COMMAND {command['kind']}", flush=True)
            self.ask(f"/commands/{command['id']}/acknowledge", {"outcome": "done"})

    def refresh(self):
        """Bring the list up to date; it counts only once it is whole."""
        draft, more = dict(self.list), True
        while more:
            query = "?" + parse.urlencode({"since": draft["cursor"]}) if draft["cursor"] else ""
            known = {"If-None-Match": self.etag} if self.etag and self.list["whole"] else {}
            status, answer = self.ask(f"/access_list{query}", **known)
            if status == 304:
                break
            if status != 200:
                self.forget(status)
                return
            entries = {} if answer["reset"] else draft["entries"]
            entries = entries | {entry["credential_id"]: entry for entry in answer["entries"]}
            entries = {key: entry for key, entry in entries.items() if key not in answer["removed"]}
            draft |= {"channel": answer["channel"], "cursor": answer["cursor"], "entries": entries}
            # The server knows that a list was taken once it is asked for what follows it.
            more = answer["more"] or answer["entries"] or answer["removed"]
        self.keep("list", {**draft, "whole": True, "confirmed_at": self.now(), "offset": self.offset})

    def forget(self, status):
        """A key that was revoked, or a door that is to keep no list any more, leaves nothing behind."""
        if status in (401, 403, 404, 409) and self.list != NO_LIST:
            self.etag = None
            self.keep("list", NO_LIST)

    def send(self):
        """Send what was decided alone; rows that the server names as wrong are laid aside, the others go on."""
        while batch := self.events[:500]:
            status, answer = self.ask("/events", {"events": batch})
            if status != 200:
                wrong = {int(place) for place in re.findall(r"events\[(\d+)\]", " ".join(answer.get("errors", ())))}
                if not wrong:
                    return
                batch = [batch[place] for place in wrong]
                self.keep("refused", self.refused + batch)
            gone = {event["id"] for event in batch}
            with self.lock:
                self.keep("events", [event for event in self.events if event["id"] not in gone])

    def keep_up(self, every, list_every, stop):
        """Commands, events and the list; between two looks a long poll at the stream process, or some seconds."""
        listed, was_online = float("-inf"), None
        while not stop.is_set():
            try:
                self.follow()
                self.send()
                if time.monotonic() - listed >= list_every:
                    self.refresh()
                    listed = time.monotonic()
                online = True
            except (Away, AttributeError, LookupError, TypeError):
                # Whoever answers in another form is not the server either.
                online, listed = False, float("-inf")
            if online != was_online:
                print("ONLINE" if online else "OFFLINE", flush=True)
                was_online = online
            if online and self.stream:
                with suppress(Away):
                    status, _ = self.ask(f"/commands/wait?after={self.after}", patience=30, base=self.stream)
                    if status == 200:
                        continue
            stop.wait(every)


def give_up(failure):
    """A list that nothing keeps up is worse than a door that stays closed until this is started again."""
    threading.__excepthook__(failure)
    os._exit(1)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--url", required=True)
    options.add_argument("--stream-url", help="where the stream process answers; without it commands come by asking")
    options.add_argument("--channel", type=int, required=True)
    options.add_argument("--store", required=True, help="a folder of this controller's own")
    options.add_argument("--every", type=float, default=1.0, help="seconds between two looks without a long poll")
    options.add_argument("--list-every", type=float, default=15.0, help="seconds between two looks at the list")
    given = options.parse_args()
    key = os.environ.get("GATEHOUSE_READER_KEY") or sys.exit("Set GATEHOUSE_READER_KEY to a key bound to this channel.")
    controller, stop = Controller(given.url, given.stream_url, key, given.channel, given.store), threading.Event()
    background = threading.Thread(target=controller.keep_up, args=(given.every, given.list_every, stop), daemon=True)
    threading.excepthook = give_up
    background.start()
    for line in sys.stdin:
        seconds, wait = controller.typed(line.rstrip("\n"))
        print(f"OPEN {seconds}" if seconds else f"CLOSED {wait}" if wait else "CLOSED", flush=True)
    stop.set()
    background.join(timeout=2)


if __name__ == "__main__":
    main()
