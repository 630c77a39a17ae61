"""All addresses of the product."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from accounts.addresses import api
from accounts.logo_page import logo

handler400 = "accounts.failures.bad_request"
handler403 = "accounts.failures.forbidden"
handler404 = "accounts.failures.not_found"
handler500 = "accounts.failures.failed"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="staff:start")),
    path("admin/", admin.site.urls),
    path("platform/", include("accesscontrol.overview.urls")),
    path("desk/", include("accesscontrol.desk.urls")),
    api("api/3/", "accesscontrol.api"),
    path("seam/", include("accesscontrol.seam.urls")),
    path("logo/<int:logo_version>/", logo, name="logo"),
    path("oauth/", include("accounts.urls")),
    path("", include("pins.deliveries.urls")),
    path("", include("pins.codes.urls")),
    path("", include("pins.signin.urls")),
    path("", include("accesscontrol.visits.urls")),
    path("", include("pins.signin.staff.urls")),
]
