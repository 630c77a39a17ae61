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
import sys
import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from urllib import error, parse, request
from zoneinfo import ZoneInfo

UTC = timezone.utc
NO_LIST = {"entries": {}, "cursor": None, "whole": False}
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
    instead = next((holiday["hours"] for holiday in holidays if holiday["day"] == day.isoformat()), None)
    found = [
        (start, end)
        for weekday, start, end, on_holiday in hours
        if weekday == day.weekday() and (instead is None or on_holiday == "as_usual")
    ]
    if instead is not None and any(stretch[3] == "holiday_hours" for stretch in hours):
        found += instead
    return found


def is_open(hours, now, zone, early=0, holidays=()):
    """Whether weekly hours are open. A stretch belongs to the day it starts on; its end may be on the next one."""
    soon = now + timedelta(seconds=early)
    today = soon.astimezone(zone).date()
    for day in (today, today - timedelta(days=1), today - timedelta(days=2)):
        for start, end in of_day(day, hours, holidays):
            first = datetime.fromisoformat(f"{day}T{start}")
            last = datetime.fromisoformat(f"{day + timedelta(days=1) if end <= start else day}T{end}")
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
    holds = {
        "credential_not_enabled": entry["enabled"],
        "credential_expired": within(now, None, entry["ends_at"]),
        "person_not_enabled": entry["person_enabled"],
        "person_not_active": within(now, entry["valid_from"], entry["valid_to"]),
    }
    if not all(holds.values()):
        return next(reason for reason, is_so in holds.items() if not is_so), False
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


class Controller:
    def __init__(self, url, stream, key, channel, store):
        self.url, self.stream = (f"{base.rstrip('/')}/api/3/channels/{channel}" for base in (url, stream or url))
        self.key, self.store = key, Path(store)
        self.digest_key = hmac.digest(key.encode(), f"gatehouse access list {channel}".encode(), "sha256")
        self.store.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock, self.etag, self.waits_long = threading.RLock(), None, True
        self.list = self.read("list", NO_LIST)
        self.tries = self.read("tries", {"failures": 0, "at": 0, "wait_until": 0})
        self.after, self.events = self.read("after", 0), self.read("events", [])
        self.offset = self.list.get("offset", 0)

    # What is kept: readable by its owner alone, whole or not at all.

    def read(self, name, otherwise):
        with suppress(OSError, ValueError):
            return json.loads((self.store / f"{name}.json").read_text())
        return otherwise

    def keep(self, name, value):
        with self.lock:
            draft = self.store / f".{name}"
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self.store / f"{name}.json")
            setattr(self, name, value)

    def ask(self, url, body=None, patience=10, **headers):
        headers |= {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with request.urlopen(request.Request(url, data, headers), timeout=patience) as answer:
                self.set_clock(answer.headers)
                self.etag = answer.headers.get("ETag") if "/access_list" in url else self.etag
                return answer.status, json.load(answer)
        except error.HTTPError as failure:
            self.set_clock(failure.headers)
            if failure.code >= 500:
                raise Away from failure
            with suppress(ValueError):
                return failure.code, json.loads(failure.read())
            return failure.code, {}
        except (OSError, HTTPException, ValueError) as failure:
            raise Away from failure

    def set_clock(self, headers):
        if headers.get("Date"):
            self.offset = parsedate_to_datetime(headers["Date"]).timestamp() - time.time()

    def now(self):
        # The header and a clock that is right differ by parts of a second.
        return time.time() + (self.offset if abs(self.offset) > 2 else 0)

    # At the keypad

    def typed(self, value):
        """Decide about a PIN: (seconds to open for, or 0; seconds to wait, or 0)."""
        attempt, moment = str(uuid.uuid4()), self.now()
        try:
            body = {"value": value, "attempt_id": attempt}
            status, answer = self.ask(self.url + "/access_attempts", body, patience=3)
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
        status, answer = self.ask(f"{self.url}/commands?after={self.after}")
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
            self.ask(f"{self.url}/commands/{command['id']}/acknowledge", {"outcome": "done"})

    def refresh(self):
        """Bring the list up to date; it counts only once it is whole."""
        draft, more = dict(self.list, entries=dict(self.list["entries"])), True
        while more:
            query = "?" + parse.urlencode({"since": draft["cursor"]}) if draft["cursor"] else ""
            known = {"If-None-Match": self.etag} if self.etag and self.list["whole"] else {}
            status, answer = self.ask(f"{self.url}/access_list{query}", **known)
            if status == 304:
                break
            if status != 200:
                self.forget(status)
                return
            entries = {} if answer["reset"] else draft["entries"]
            entries |= {entry["credential_id"]: entry for entry in answer["entries"]}
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
            status, answer = self.ask(self.url + "/events", {"events": batch})
            wrong = {int(name[7 : name.index("]")]) for name in answer.get("errors", ()) if name.startswith("events[")}
            if status != 200 and not wrong:
                return
            if wrong:
                self.keep("refused", self.read("refused", []) + [batch[place] for place in wrong])
            gone = {batch[place]["id"] for place in wrong} if wrong else {event["id"] for event in batch}
            with self.lock:
                self.keep("events", [event for event in self.events if event["id"] not in gone])

    def rest(self, stop, every):
        """Until something is to be done: by long poll, or where nothing answers that, by waiting."""
        if self.waits_long:
            with suppress(Away):
                status, _ = self.ask(f"{self.stream}/commands/wait?after={self.after}", patience=30)
                self.waits_long = status != 404
                if status == 200:
                    return
        stop.wait(every)

    def keep_up(self, every, list_every, stop):
        listed, was_online = float("-inf"), None
        while not stop.is_set():
            try:
                self.follow()
                self.send()
                if time.monotonic() - listed >= list_every:
                    self.refresh()
                    listed = time.monotonic()
                online = True
            except Away:
                online, listed = False, float("-inf")
            if online != was_online:
                print("ONLINE" if online else "OFFLINE", flush=True)
                was_online, self.waits_long = online, True
            self.rest(stop, every)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--url", required=True)
    options.add_argument("--stream-url", help="where the stream process answers, if not at --url")
    options.add_argument("--channel", type=int, required=True)
    options.add_argument("--store", required=True, help="a folder of this controller's own")
    options.add_argument("--every", type=float, default=1.0, help="seconds between two looks without a long poll")
    options.add_argument("--list-every", type=float, default=15.0, help="seconds between two looks at the list")
    given = options.parse_args()
    key = os.environ.get("GATEHOUSE_READER_KEY") or sys.exit("Set GATEHOUSE_READER_KEY to a key bound to this channel.")
    controller, stop = Controller(given.url, given.stream_url, key, given.channel, given.store), threading.Event()
    background = threading.Thread(target=controller.keep_up, args=(given.every, given.list_every, stop), daemon=True)
    background.start()
    for line in sys.stdin:
        seconds, wait = controller.typed(line.rstrip("\n"))
        print(f"OPEN {seconds}" if seconds else f"CLOSED {wait}" if wait else "CLOSED", flush=True)
    stop.set()
    background.join(timeout=2)


if __name__ == "__main__":
    main()
