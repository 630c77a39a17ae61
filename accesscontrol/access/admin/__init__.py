"""Staff pages for doors, what happened at them, and what somebody must look at."""

from accesscontrol.access.admin import alarms, channels, events

__all__ = ["alarms", "channels", "events"]
