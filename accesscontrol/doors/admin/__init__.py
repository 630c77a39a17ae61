"""Access levels, weekly hours, and the keys that machines hold. Doors themselves stand in access."""

from accesscontrol.doors.admin import machine_keys, roles, shifts

__all__ = ["machine_keys", "roles", "shifts"]
