"""Staff pages for people, groups, PINs and cards, visits and messages."""

from accesscontrol.visits.admin import credentials, deliveries, groups, people, reservations, tenant_settings

__all__ = ["credentials", "deliveries", "groups", "people", "reservations", "tenant_settings"]
