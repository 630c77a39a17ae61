"""Celery is the clock and the hands: rows are the queue, tasks only say when to look at them."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accesscontrol.settings")

app = Celery("gatehouse")
# Otherwise only the thread that imports this would know the application, and others one without a broker.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

app.conf.beat_schedule = {
    "deliveries": {"task": "pins.deliveries.tasks.send_due", "schedule": 5.0},
    "failed-deliveries": {"task": "pins.deliveries.tasks.erase_failed", "schedule": 3600.0},
    "codes": {"task": "pins.codes.tasks.erase_codes", "schedule": 60.0},
    "forgotten-pins": {"task": "pins.signin.tasks.tell_forgotten", "schedule": 2.0},
    "sign-ins": {"task": "pins.signin.tasks.erase_over", "schedule": 300.0},
    "expiry": {"task": "accesscontrol.visits.tasks.expire_due", "schedule": 20.0},
    "rotation": {"task": "accesscontrol.visits.tasks.rotate_due", "schedule": 30.0},
    "no-shows": {"task": "accesscontrol.visits.tasks.clear_no_shows", "schedule": 30.0},
    "hosts": {"task": "accesscontrol.visits.tasks.tell_hosts", "schedule": 2.0},
    "batches": {"task": "accesscontrol.visits.tasks.work_off", "schedule": 3.0},
    "partitions": {"task": "accesscontrol.access.tasks.make_partitions", "schedule": 6 * 3600.0},
    "old-events": {"task": "accesscontrol.access.tasks.drop_partitions", "schedule": 6 * 3600.0},
    "retention": {"task": "accesscontrol.overview.tasks.erase_due", "schedule": 300.0},
    "figures": {"task": "accesscontrol.overview.tasks.count_tenants", "schedule": 60.0},
    "alarms": {"task": "accesscontrol.access.tasks.tell_alarms", "schedule": 3.0},
    "guessing": {"task": "accesscontrol.access.tasks.watch_sites", "schedule": 30.0},
    "patterns": {"task": "accesscontrol.access.tasks.watch_patterns", "schedule": 10.0},
    "silence": {"task": "accesscontrol.access.tasks.watch_contact", "schedule": 20.0},
    "counts": {"task": "accesscontrol.access.tasks.count_events", "schedule": 10.0},
    "attempts": {"task": "accesscontrol.access.tasks.forget_attempts", "schedule": 3600.0},
    "sessions": {"task": "pins.signin.staff.tasks.forget_sessions", "schedule": 3600.0},
    "webhooks": {"task": "accesscontrol.webhooks.tasks.tell", "schedule": 2.0},
    "webhook-log": {"task": "accesscontrol.webhooks.tasks.forget", "schedule": 3600.0},
    "tokens": {"task": "accounts.tasks.forget_tokens", "schedule": 3600.0},
    "idempotency": {"task": "accounts.tasks.forget_answers", "schedule": 3600.0},
}
for entry in app.conf.beat_schedule.values():
    # Ticks that no worker took before the next one are void: after an outage one of each is enough.
    entry["options"] = {"expires": entry["schedule"]}
