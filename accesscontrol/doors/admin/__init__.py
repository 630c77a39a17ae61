"""Access levels, weekly hours, and the keys that machines hold. Doors themselves stand in access."""

from accesscontrol.doors.admin import holidays, machine_keys, opening_hours, roles, shifts

__all__ = ["holidays", "machine_keys", "opening_hours", "roles", "shifts"]
