from django.contrib import admin

from accounts.admin.only_row import OnlyRowAdmin
from accounts.admin.records import RecordForm
from accounts.rights import Right
from pins.signin.staff.models import StaffSettings


class StaffSettingsForm(RecordForm):
    class Meta:
        labels = {
            "requires_second_factor": "Ask everybody for a second step",
            "desk_locks_after_minutes": "Lock the desk's screen after (minutes)",
            "admin_locks_after_minutes": "Lock these pages after (minutes)",
            "shift_hours": "A sign-in lasts (hours)",
        }
        help_texts = {
            "requires_second_factor": "A code from an authenticator app after the password. Whoever has none yet is "
            "asked to add one before anything else.",
            "desk_locks_after_minutes": "1 to 60, without anybody using it. A PIN unlocks it again.",
            "admin_locks_after_minutes": "1 to 120.",
            "shift_hours": "1 to 24, whatever happens. Then the password is asked for again.",
        }


@admin.register(StaffSettings)
class StaffSettingsAdmin(OnlyRowAdmin):
    """How staff sign in: one page, no list."""

    form = StaffSettingsForm
    rights = {"view": Right.SETTINGS_WRITE, "change": Right.SETTINGS_WRITE}
    fields = (
        "requires_second_factor",
        "desk_locks_after_minutes",
        "admin_locks_after_minutes",
        "shift_hours",
    )
