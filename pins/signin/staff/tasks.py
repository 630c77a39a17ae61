"""The clock of sessions: what is over is deleted."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from pins.signin.staff import sessions


@shared_task
def forget_sessions(**unknown: Any) -> None:
    """Delete sessions that have expired; they are of no tenant."""
    sessions.forget_over(now=timezone.now())
