"""The pages of data protection: everything known of a person as one file, erasing them, and who is next.

All of it is for whoever may erase people at every site: what is known of a person knows no sites.
"""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from accesscontrol.access.models import Event
from accesscontrol.credentials.models import Credential
from accesscontrol.overview import erasing, exporting
from accesscontrol.overview.retention import DELETED_ARE_KEPT
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accounts.admin.moments import read_at
from accounts.admin_site import caller_of, staff, tenant_of
from accounts.models import AuditEvent
from accounts.rights import Right
from pins.deliveries.models import Delivery
from pins.signin.staff.stepping_up import step_up

LISTED = 100
MOST = 9_999


def may_erase(request: HttpRequest) -> bool:
    """Whether the caller may see everything of a person, and erase it."""
    caller = caller_of(request)
    return caller is not None and caller.may(Right.PEOPLE_ERASE) and caller.site_ids is None


def _person(request: HttpRequest, person_id: int) -> Person:
    if not may_erase(request):
        raise PermissionDenied
    person = Person.objects.select_related("site").filter(pk=person_id, erased_at=None).first()
    if person is None:
        raise Http404
    return person


def overview_page(request: HttpRequest) -> HttpResponse:
    """What is erased when, and whom a deletion has left with their name for now."""
    if not may_erase(request):
        raise PermissionDenied
    deleted = Person.objects.filter(erased_at=None).exclude(deleted_at=None)
    rows = list(deleted.order_by("-deleted_at", "pk")[: LISTED + 1])
    tenant = tenant_of(request)
    keep = min(tenant.erase_people_after_days or DELETED_ARE_KEPT.days, DELETED_ARE_KEPT.days)
    context = _context(request, "Data protection") | {
        "tenant": tenant,
        "settings_url": reverse("admin:accounts_tenant_change", args=[tenant.pk]),
        "events_months": settings.EVENTS_KEPT_MONTHS,
        "days": keep,
        "is_cut": len(rows) > LISTED,
        "rows": [
            {
                "name": person.listed_name,
                "deleted": read_at(person.deleted_at),
                "export": reverse("admin:person_export", args=[person.pk]),
                "erase": reverse("admin:person_erase", args=[person.pk]),
            }
            for person in rows[:LISTED]
        ],
    }
    return TemplateResponse(request, "admin/data_protection.html", context)


def export_page(request: HttpRequest, person_id: int) -> HttpResponseBase:
    """Say what the file holds on GET, make it on POST; both behind the caller's PIN."""
    person = _person(request, person_id)
    return _export(request, person)


@step_up
def _export(request: HttpRequest, person: Person) -> HttpResponseBase:
    if request.method == "POST":
        file = exporting.export(person, by=staff(request).actor, now=timezone.now())
        name = f'attachment; filename="person-{person.pk}.zip"'
        headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
        return HttpResponse(file, content_type="application/zip", headers=headers)
    context = _context(request, f"Export what is known of {person}") | {"person": person, "back": _back(person)}
    return TemplateResponse(request, "admin/person_export.html", context, headers={"Cache-Control": "no-store"})


def erase_page(request: HttpRequest, person_id: int) -> HttpResponseBase:
    """Say what goes and what stays on GET, erase on POST; both behind the caller's PIN."""
    return _erase(request, _person(request, person_id))


@step_up
def _erase(request: HttpRequest, person: Person) -> HttpResponseBase:
    now = timezone.now()
    is_sure = request.POST.get("sure") == "1"
    if request.method == "POST" and is_sure:
        erasing.erase(person, by=staff(request).actor, now=now)
        messages.success(request, f"Person {person.pk} was erased.")
        return HttpResponseRedirect(reverse("admin:people_person_changelist"))
    held = Credential.objects.filter(person=person, revoked_at=None, erased_at=None)
    visits = Reservation.objects.filter(person=person)
    context = _context(request, f"Erase {person}") | {
        "person": person,
        "back": _back(person),
        "was_unsure": request.method == "POST",
        "export_url": reverse("admin:person_export", args=[person.pk]),
        "pins": held.count(),
        "coming": visits.filter(cancelled_at=None, end_time__gt=now).count(),
        "visits": _number(visits),
        "events": _number(Event.objects.filter(person=person)),
        "messages_sent": _number(Delivery.objects.about("person", [person.pk])),
        "audited": _number(AuditEvent.objects.filter(subject_type="person", subject_id=str(person.pk))),
    }
    return TemplateResponse(request, "admin/person_erase.html", context, headers={"Cache-Control": "no-store"})


def _number(rows: Any) -> str:
    number = rows.order_by()[: MOST + 1].count()
    return f"more than {MOST:,}" if number > MOST else f"{number:,}"


def _back(person: Person) -> str:
    if person.deleted_at is not None:
        return reverse("admin:data_protection")
    return reverse("admin:people_person_change", args=[person.pk])


def _context(request: HttpRequest, title: str) -> dict[str, Any]:
    return {**admin.site.each_context(request), "title": title, "content_title": title}
