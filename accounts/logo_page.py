"""The logo for staff of its tenant: an image of a fixed type, kept by the browser until there is another."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.admin_site import caller_of
from accounts.models import TenantLogo


@require_safe
def logo(request: HttpRequest, logo_version: int) -> HttpResponse:
    """The current tenant's logo; nothing for whoever is not signed in."""
    found = TenantLogo.objects.first() if caller_of(request) else None
    if found is None:
        raise Http404
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return HttpResponse(bytes(found.image), content_type="image/png", headers=headers)
