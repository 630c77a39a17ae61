"""Sites: places with a time zone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.models import Site, SiteZone
from accounts.refusals import Refusal, refusing

WRITABLE = ("name", "time_zone", "address", "help_phone", "typing_hint", "notes")


class SiteNameTaken(Refusal):
    code = "taken"
    field = "name"
    text = "Another site has this name already."
    constraint = "site_name_unique"


@transaction.atomic
def create(values: Mapping[str, Any], *, by: audit.Actor, now: datetime) -> Site:
    """Add a site; refuses a name that another has."""
    site = Site(created_at=now, **{name: values[name] for name in WRITABLE if name in values})
    with refusing(SiteNameTaken):
        site.save(force_insert=True)
    audit.record("create", "site", site.pk, by=by, now=now)
    return site


@transaction.atomic
def change(site: Site, values: Mapping[str, Any], *, by: audit.Actor, now: datetime) -> Site:
    """Write the given fields; what did not change is not written. The time zone of the time before is kept."""
    site = Site.objects.select_for_update(of=("self",)).get(pk=site.pk)
    before = site.time_zone
    changed = [name for name in WRITABLE if name in values and getattr(site, name) != values[name]]
    for name in changed:
        setattr(site, name, values[name])
    if changed:
        with refusing(SiteNameTaken):
            site.save(update_fields=[*changed, "updated_at"])
        if "time_zone" in changed:
            SiteZone.objects.create(site=site, time_zone=before, ended_at=now)
        audit.record("change", "site", site.pk, by=by, now=now, fields=changed)
    return site
