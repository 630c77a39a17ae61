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
import os
import sys
import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib import error, parse, request
from zoneinfo import ZoneInfo

UTC = timezone.utc
BATCH = 500


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
    if not entry["enabled"]:
        return "credential_not_enabled", False
    if not within(now, None, entry["ends_at"]):
        return "credential_expired", False
    if not entry["person_enabled"]:
        return "person_not_enabled", False
    if not within(now, entry["valid_from"], entry["valid_to"]):
        return "person_not_active", False
    awaits = False
    for grant in entry["grants"]:
        is_visit = entry["is_visitor"] or grant["reservation_id"] is not None
        if is_visit and age > door["visitor_seconds"]:
            continue
        if within(now, grant["from"], grant["until"]) and (
            grant["hours"] is None or is_open(grant["hours"], now, zone, grant["early_seconds"], door["holidays"])
        ):
            if not grant["awaits_check_in"]:
                return "", False
            awaits = True
    return ("not_checked_in" if awaits else "not_permitted_at_this_time"), False


class Away(Exception):
    """The server cannot be asked."""


class Controller:
    def __init__(self, url, key, channel, store):
        self.base, self.key, self.channel = f"{url.rstrip('/')}/api/3/channels/{channel}", key, channel
        self.digest_key = hmac.digest(key.encode(), f"gatehouse access list {channel}".encode(), "sha256")
        self.store = Path(store)
        self.store.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock, self.sending = threading.RLock(), threading.Lock()
        self.list = self.read("list.json") or {"entries": {}, "cursor": None, "whole": False}
        self.tries = self.read("tries.json") or {"failures": 0, "at": 0, "wait_until": 0}
        self.place = self.read("commands.json") or {"after": 0}
        self.etag, self.offset = None, self.list.get("offset", 0)

    # What is kept: readable by its owner alone, whole or not at all.

    def read(self, name):
        try:
            return json.loads((self.store / name).read_text())
        except (OSError, ValueError):
            return None

    def keep(self, name, value):
        draft = self.store / f".{name}.{threading.get_ident()}"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.store / name)

    def note(self, event):
        with (
            self.lock,
            open(os.open(self.store / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file,
        ):
            file.write(json.dumps(event) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def noted(self):
        try:
            lines = (self.store / "events.jsonl").read_text().splitlines()
        except OSError:
            return []
        events = []
        for line in lines:
            # A line that was cut off by a loss of power is of a door that was not opened for it.
            with suppress(ValueError):
                events.append(json.loads(line))
        return events

    # The server

    def ask(self, path, body=None, patience=10, **headers):
        headers |= {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with request.urlopen(request.Request(self.base + path, data, headers), timeout=patience) as answer:
                self.set_clock(answer.headers)
                self.etag = answer.headers.get("ETag") if path.startswith("/access_list") else self.etag
                return answer.status, json.load(answer)
        except error.HTTPError as failure:
            self.set_clock(failure.headers)
            if failure.code >= 500:
                raise Away from failure
            return failure.code, json.loads(failure.read() or b"{}")
        except (OSError, ValueError) as failure:
            raise Away from failure

    def set_clock(self, headers):
        if headers.get("Date"):
            self.offset = parsedate_to_datetime(headers["Date"]).timestamp() - time.time()

    def now(self):
        # Header and clock differ by parts of a second always.
        return time.time() + (self.offset if abs(self.offset) > 2 else 0)

    # At the keypad

    def typed(self, value):
        """Decide about a PIN: (seconds to open for, or 0; seconds to wait, or 0)."""
        attempt, moment = str(uuid.uuid4()), self.now()
        try:
            status, answer = self.ask("/access_attempts", {"value": value, "attempt_id": attempt}, patience=3)
        except Away:
            with self.lock:
                return self.alone(value, attempt, moment)
        if status != 200:
            return 0, 0
        return answer.get("release_seconds") or 0, answer.get("retry_after") or 0

    def alone(self, value, attempt, moment):
        if not self.list["whole"]:
            return 0, 0
        door, age = self.list["channel"], moment - self.list["confirmed_at"]
        now = datetime.fromtimestamp(moment, UTC)
        found = hmac.digest(self.digest_key, f"pin|{value}".encode(), "sha256").hex()
        known = {entry["fingerprint"]: (entry, False) for entry in self.list["entries"].values()}
        known |= {e["duress_fingerprint"]: (e, True) for e in self.list["entries"].values() if e["duress_fingerprint"]}
        entry, forced = known.get(found, (None, False))
        wait = self.tries["wait_until"] - moment
        reason, was_open = ("throttled", False) if wait > 0 else decide(door, entry, now, age)
        if reason == "invalid_pin" and 4 <= len(value) <= 8 and value.isdecimal():
            wait = self.count(door, moment)
        told = {"id": attempt, "occurred_at": now.isoformat(), "admitted": reason == "", "reason": reason}
        if entry is not None and reason != "throttled":
            told |= {"credential_id": entry["credential_id"], "duress": forced, "was_open": was_open}
        self.note(told)
        return (door["release_seconds"] if reason == "" else 0), max(0, int(wait + 0.999))

    def count(self, door, moment):
        """A wrong PIN costs time, after a restart too; one failure is forgotten in an hour."""
        left = max(0, self.tries["failures"] - int((moment - self.tries["at"]) // 3600)) + 1
        over = left - door["free_tries"]
        wait = min(door["first_wait_seconds"] * 2 ** min(over - 1, 20), door["longest_wait_seconds"]) if over > 0 else 0
        self.tries = {"failures": left, "at": moment, "wait_until": moment + wait}
        self.keep("tries.json", self.tries)
        return wait

    # In the background

    def follow(self):
        """Take commands: carry out, then say so. What was taken is written down first: no door opens twice."""
        status, answer = self.ask(f"/commands?after={self.place['after']}")
        if status != 200:
            return self.forget(status)
        with self.lock:
            stands = {"state": answer["state"], "relock_at": answer["relock_at"]}
            known = self.list["channel"] if self.list["whole"] else stands
            if any(known[name] != value for name, value in stands.items()):
                # A lock-down holds through an outage and a restart, whenever the list was last looked at.
                self.list["channel"] |= stands
                self.keep("list.json", self.list)
        for command in answer["commands"]:
            self.place = {"after": command["id"]}
            self.keep("commands.json", self.place)
            print(f"COMMAND {command['kind']}", flush=True)
            self.ask(f"/commands/{command['id']}/acknowledge", {"outcome": "done"})
        return None

    def refresh(self):
        """Bring the list up to date; it counts only once it is whole."""
        draft = dict(self.list, entries=dict(self.list["entries"]))
        more = True
        while more:
            query = "" if draft["cursor"] is None else "?" + parse.urlencode({"since": draft["cursor"]})
            known = {"If-None-Match": self.etag} if self.etag and self.list["whole"] and query else {}
            status, answer = self.ask("/access_list" + query, **known)
            if status not in (200, 304):
                return self.forget(status)
            more = False
            if status == 200:
                if answer["reset"]:
                    draft["entries"] = {}
                draft["entries"] |= {entry["credential_id"]: entry for entry in answer["entries"]}
                for credential_id in answer["removed"]:
                    draft["entries"].pop(credential_id, None)
                draft |= {"channel": answer["channel"], "cursor": answer["cursor"]}
                # The server knows that a list was taken once it is asked for what follows it.
                more = answer["more"] or bool(answer["entries"] or answer["removed"])
        draft |= {"whole": True, "confirmed_at": self.now(), "offset": self.offset}
        with self.lock:
            self.list = draft
            self.keep("list.json", draft)
        return None

    def forget(self, status):
        """A key that was revoked, or a door that is to keep no list any more, leaves nothing behind."""
        if status in (401, 403, 404, 409) and (self.list["whole"] or self.list["entries"]):
            with self.lock:
                self.list, self.etag = {"entries": {}, "cursor": None, "whole": False}, None
                self.keep("list.json", self.list)

    def send(self):
        """Send what was decided alone; rows that the server names as wrong are laid aside, the others go on."""
        with self.sending:
            while events := self.noted()[:BATCH]:
                status, answer = self.ask("/events", {"events": events})
                if status == 422:
                    wrong = {int(name[7 : name.index("]")]) for name in answer["errors"] if name.startswith("events[")}
                elif status == 200:
                    wrong = set()
                else:
                    return
                if status == 422 and not wrong:
                    return
                gone = {event["id"] for event in events} if status == 200 else {events[place]["id"] for place in wrong}
                with self.lock:
                    aside = (self.read("refused.json") or []) + [events[place] for place in sorted(wrong)]
                    if wrong:
                        self.keep("refused.json", aside)
                    left = [event for event in self.noted() if event["id"] not in gone]
                    draft = self.store / ".events.jsonl"
                    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                        file.writelines(json.dumps(event) + "\n" for event in left)
                        file.flush()
                        os.fsync(file.fileno())
                    os.replace(draft, self.store / "events.jsonl")

    def keep_up(self, every, list_every, stop):
        listed = float("-inf")
        was_online = None
        while not stop.is_set():
            try:
                self.follow()
                self.send()
                if time.monotonic() - listed >= list_every:
                    self.refresh()
                    listed = time.monotonic()
                online = True
            except Away:
                online = False
            if online != was_online:
                print("ONLINE" if online else "OFFLINE", flush=True)
                was_online, listed = online, listed if online else float("-inf")
            stop.wait(every)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--url", required=True)
    options.add_argument("--channel", type=int, required=True)
    options.add_argument("--store", required=True, help="a folder of this controller's own")
    options.add_argument("--every", type=float, default=1.0, help="seconds between two looks for commands")
    options.add_argument("--list-every", type=float, default=15.0, help="seconds between two looks at the list")
    given = options.parse_args()
    key = os.environ.get("GATEHOUSE_READER_KEY")
    if not key:
        sys.exit("Set GATEHOUSE_READER_KEY to the key of a reader that is bound to this channel.")
    controller, stop = Controller(given.url, key, given.channel, given.store), threading.Event()
    background = threading.Thread(target=controller.keep_up, args=(given.every, given.list_every, stop), daemon=True)
    background.start()
    for line in sys.stdin:
        seconds, wait = controller.typed(line.rstrip("\n"))
        print(f"OPEN {seconds}" if seconds else f"CLOSED {wait}" if wait else "CLOSED", flush=True)
    stop.set()
    background.join(timeout=15)


if __name__ == "__main__":
    main()
