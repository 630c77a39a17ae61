"""What stands in the files of people, PINs and cards, and visits. Never a value that opens a door."""

from typing import Any

from accesscontrol.credentials.models import CredentialType
from accounts.admin.exporting import Exported

PEOPLE = (
    Exported("Id", lambda person: person.pk),
    Exported("First name", lambda person: person.first_name),
    Exported("Last name", lambda person: person.last_name),
    Exported("Kind", lambda person: person.kind),
    Exported("E-mail address", lambda person: person.email),
    Exported("Mobile number", lambda person: person.mobile),
    Exported("Telephone", lambda person: person.telephone),
    Exported("Department", lambda person: person.department),
    Exported("Job title", lambda person: person.job_title),
    Exported("Salutation", lambda person: person.salutation),
    Exported("Language", lambda person: person.language),
    Exported("Id in another system", lambda person: person.system_id),
    Exported("Site", lambda person: person.site.name if person.site else ""),
    Exported("Groups", lambda person: "; ".join(person.group_names)),
    Exported("Enabled", lambda person: person.enabled),
    Exported("Valid from", lambda person: person.valid_from, is_instant=True),
    Exported("Valid until", lambda person: person.valid_to, is_instant=True),
    Exported("Has a PIN", lambda person: person.pin_held),
    Exported("Notes", lambda person: person.notes),
    Exported("Added", lambda person: person.created_at, is_instant=True),
)
CREDENTIALS = (
    Exported("Id", lambda credential: credential.public_id),
    Exported("Type", lambda credential: str(CredentialType(credential.type).label)),
    Exported("Person", lambda credential: credential.person.listed_name),
    Exported("Id of person", lambda credential: credential.person_id),
    Exported("Enabled", lambda credential: credential.enabled),
    Exported("Issued", lambda credential: credential.created_at, is_instant=True),
    Exported("Expired", lambda credential: credential.expired_at, is_instant=True),
    Exported("Revoked", lambda credential: credential.revoked_at, is_instant=True),
    Exported("Erased", lambda credential: credential.erased_at, is_instant=True),
    Exported("Ends after rotation", lambda credential: credential.ends_at, is_instant=True),
)


def _doors(visit: Any) -> str:
    """Those it had at last."""
    rows = visit.known_channels
    if visit.cancelled_at is None:
        rows = [row for row in rows if row.ended_at is None]
    return "; ".join(dict.fromkeys(row.channel.name for row in rows))


VISITS = (
    Exported("Id", lambda visit: visit.pk),
    Exported("Visitor", lambda visit: visit.person.listed_name),
    Exported("Id of person", lambda visit: visit.person_id),
    Exported("Company", lambda visit: visit.company),
    Exported("From", lambda visit: visit.start_time, is_instant=True),
    Exported("Until", lambda visit: visit.end_time, is_instant=True),
    Exported("Doors", _doors),
    Exported("Host", lambda visit: visit.host_name or (str(visit.host.user) if visit.host else "")),
    Exported("Purpose", lambda visit: visit.purpose),
    Exported("Arrived", lambda visit: visit.arrived_at, is_instant=True),
    Exported("Checked in", lambda visit: visit.checked_in_at, is_instant=True),
    Exported("Checked out", lambda visit: visit.checked_out_at, is_instant=True),
    Exported("Cancelled", lambda visit: visit.cancelled_at, is_instant=True),
    Exported("Id in another system", lambda visit: visit.external_id),
)
