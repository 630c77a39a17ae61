"""Staff pages for what `accounts` keeps, and what every page of the admin rests on."""

from accounts.admin import applications, audit_events, sites

__all__ = ["applications", "audit_events", "sites"]
