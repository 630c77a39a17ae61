"""The one table of what each staff role and each API scope may do.

A right is asked for by name and nowhere computed: an interface states the right, the Caller carries its set.
Scopes are the words that integrations know from the API's contract; a write scope includes its read.
"""

from enum import StrEnum


class Right(StrEnum):
    """One thing that somebody may do in a tenant."""

    ACCOUNT_READ = "account.read"
    PEOPLE_READ = "people.read"
    PEOPLE_WRITE = "people.write"
    PEOPLE_ERASE = "people.erase"
    PINS_READ = "pins.read"
    VISITS_READ = "visits.read"
    VISITS_WRITE = "visits.write"
    VISITS_OWN = "visits.own"
    CHANNELS_READ = "channels.read"
    CHANNELS_WRITE = "channels.write"
    CHANNELS_ADMIT = "channels.admit"
    CHANNELS_ADMIT_PERSON = "channels.admit_person"
    CHANNELS_SYNC = "channels.sync"
    ACCESS_READ = "access.read"
    ACCESS_WRITE = "access.write"
    EVENTS_READ = "events.read"
    ALARMS_WRITE = "alarms.write"
    THROTTLE_LIFT = "throttle.lift"
    DELIVERIES_READ = "deliveries.read"
    DELIVERIES_WRITE = "deliveries.write"
    AUDIT_READ = "audit.read"
    REPORTS_READ = "reports.read"
    STAFF_READ = "staff.read"
    STAFF_WRITE = "staff.write"
    KEYS_WRITE = "keys.write"
    SETTINGS_WRITE = "settings.write"
    WEBHOOKS_READ = "webhooks.read"
    DECIDE = "decide"
    GENERATE = "generate"
    SIGN_IN = "sign_in"
    SUBSCRIBERS_READ = "subscribers.read"
    SUBSCRIBERS_WRITE = "subscribers.write"
    EXPORT = "lists.export"
    ADMIN_OPEN = "admin.open"
    DESK_OPEN = "desk.open"


class StaffRole(StrEnum):
    """The place of a user in a tenant."""

    OWNER = "owner"
    MANAGER = "manager"
    FRONT_DESK = "front_desk"
    HOST = "host"
    AUDITOR = "auditor"


_READING = {
    Right.ACCOUNT_READ,
    Right.PEOPLE_READ,
    Right.VISITS_READ,
    Right.CHANNELS_READ,
    Right.ACCESS_READ,
    Right.EVENTS_READ,
    Right.DELIVERIES_READ,
}
_MANAGING = _READING | {
    Right.ADMIN_OPEN,
    Right.DESK_OPEN,
    Right.PEOPLE_WRITE,
    # Everything known of somebody as one file, and erasing them.
    Right.PEOPLE_ERASE,
    Right.PINS_READ,
    Right.VISITS_WRITE,
    Right.CHANNELS_WRITE,
    Right.CHANNELS_ADMIT,
    Right.CHANNELS_ADMIT_PERSON,
    Right.CHANNELS_SYNC,
    Right.ACCESS_WRITE,
    Right.ALARMS_WRITE,
    Right.THROTTLE_LIFT,
    Right.DELIVERIES_WRITE,
    Right.AUDIT_READ,
    Right.REPORTS_READ,
    Right.STAFF_READ,
    Right.KEYS_WRITE,
    Right.SETTINGS_WRITE,
    Right.WEBHOOKS_READ,
    Right.SUBSCRIBERS_READ,
    Right.SUBSCRIBERS_WRITE,
    Right.EXPORT,
}

OF_ROLE: dict[StaffRole, frozenset[Right]] = {
    StaffRole.OWNER: frozenset(_MANAGING | {Right.STAFF_WRITE}),
    StaffRole.MANAGER: frozenset(_MANAGING),
    StaffRole.FRONT_DESK: frozenset(
        _READING
        | {
            Right.ADMIN_OPEN,
            Right.DESK_OPEN,
            Right.PEOPLE_WRITE,
            Right.PINS_READ,
            Right.VISITS_WRITE,
            Right.CHANNELS_ADMIT,
            Right.CHANNELS_ADMIT_PERSON,
            Right.CHANNELS_SYNC,
            Right.THROTTLE_LIFT,
            Right.DELIVERIES_WRITE,
        }
    ),
    # A host sees only visitors of their own; the pages for that do not give a general right to read people.
    StaffRole.HOST: frozenset({Right.ACCOUNT_READ, Right.DESK_OPEN, Right.VISITS_OWN}),
    StaffRole.AUDITOR: frozenset(
        _READING
        | {
            Right.ADMIN_OPEN,
            Right.AUDIT_READ,
            Right.REPORTS_READ,
            Right.STAFF_READ,
            Right.SUBSCRIBERS_READ,
            Right.EXPORT,
        }
    ),
}

_PEOPLE_READONLY = {Right.PEOPLE_READ, Right.PINS_READ}
_VISITS_READONLY = {Right.VISITS_READ}

# The npm client's default scopes are person, channel and event: its sample reads types and groups with these.
OF_SCOPE: dict[str, frozenset[Right]] = {
    "account.person": frozenset(
        _PEOPLE_READONLY | _VISITS_READONLY | {Right.PEOPLE_WRITE, Right.VISITS_WRITE, Right.ACCESS_READ}
    ),
    "account.person.readonly": frozenset(_PEOPLE_READONLY | _VISITS_READONLY | {Right.ACCESS_READ}),
    "account.credential_type.readonly": frozenset(),
    "account.channel": frozenset({Right.CHANNELS_READ, Right.CHANNELS_WRITE}),
    "account.channel.readonly": frozenset({Right.CHANNELS_READ}),
    "account.channel.admit": frozenset({Right.CHANNELS_READ, Right.CHANNELS_ADMIT, Right.CHANNELS_ADMIT_PERSON}),
    "account.channel.admit.person": frozenset({Right.CHANNELS_READ, Right.CHANNELS_ADMIT_PERSON}),
    "account.event.access.readonly": frozenset({Right.EVENTS_READ}),
    "account.event.readonly": frozenset({Right.EVENTS_READ}),
    "account.event.guarding.readonly": frozenset({Right.EVENTS_READ}),
    "account.reservation": frozenset(_VISITS_READONLY | {Right.VISITS_WRITE}),
    "account.reservation.readonly": frozenset(_VISITS_READONLY),
    "account.group_reservation": frozenset(_VISITS_READONLY | {Right.VISITS_WRITE}),
    "account.group_reservation.readonly": frozenset(_VISITS_READONLY),
    "account.group": frozenset({Right.ACCESS_READ, Right.ACCESS_WRITE}),
    "account.group.readonly": frozenset({Right.ACCESS_READ}),
    "account.role": frozenset({Right.ACCESS_READ, Right.ACCESS_WRITE}),
    "account.role.readonly": frozenset({Right.ACCESS_READ}),
    "account.shift": frozenset({Right.ACCESS_READ, Right.ACCESS_WRITE}),
    "account.shift.readonly": frozenset({Right.ACCESS_READ}),
    "account.site": frozenset({Right.CHANNELS_READ, Right.CHANNELS_WRITE}),
    "account.site.readonly": frozenset({Right.CHANNELS_READ}),
    "account.notification_rule": frozenset({Right.SETTINGS_WRITE, Right.WEBHOOKS_READ}),
    "account.notification_rule.readonly": frozenset({Right.WEBHOOKS_READ}),
    "account.reports.readonly": frozenset({Right.EVENTS_READ}),
    "account.sync": frozenset({Right.CHANNELS_READ, Right.CHANNELS_SYNC}),
}

SCOPE_WORDS: dict[str, str] = {
    "account.person": "See and change people, their PINs and visits",
    "account.person.readonly": "See people, their PINs and visits",
    "account.credential_type.readonly": "See the types of credentials",
    "account.channel": "See and change doors and sites",
    "account.channel.readonly": "See doors",
    "account.channel.admit": "Open and lock doors",
    "account.channel.admit.person": "Open a door for a person who may open it",
    "account.event.access.readonly": "See who was let in and who was not",
    "account.event.readonly": "See all events",
    "account.event.guarding.readonly": "See guarding events",
    "account.reservation": "See and change visits",
    "account.reservation.readonly": "See visits",
    "account.group_reservation": "See and change group visits",
    "account.group_reservation.readonly": "See group visits",
    "account.group": "See and change groups, access levels and weekly hours",
    "account.group.readonly": "See groups",
    "account.role": "See and change access levels, groups and weekly hours",
    "account.role.readonly": "See access levels",
    "account.shift": "See and change weekly hours, access levels and groups",
    "account.shift.readonly": "See weekly hours",
    "account.site": "See and change sites and doors",
    "account.site.readonly": "See sites",
    "account.notification_rule": "See and change notification rules",
    "account.notification_rule.readonly": "See notification rules",
    "account.reports.readonly": "See reports",
    "account.sync": "Send changes to doors",
}


def rights_of_scopes(scopes: list[str]) -> frozenset[Right]:
    """What a key or token with these scopes may do; a scope that is not known gives nothing."""
    return frozenset({Right.ACCOUNT_READ}).union(*(OF_SCOPE.get(scope, frozenset()) for scope in scopes))
