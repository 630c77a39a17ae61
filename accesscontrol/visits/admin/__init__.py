"""Staff pages for people, groups, PINs and cards, visits and messages."""

from accesscontrol.visits.admin import (
    batches,
    credentials,
    deliveries,
    groups,
    imports,
    people,
    reservations,
)

__all__ = ["batches", "credentials", "deliveries", "groups", "imports", "people", "reservations"]
