"""Staff pages for doors, what happened at them, and what somebody must look at."""

from accesscontrol.access.admin import alarm_recipients, alarms, channels, events, pattern_rules

__all__ = ["alarm_recipients", "alarms", "channels", "events", "pattern_rules"]
