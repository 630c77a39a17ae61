"""The platform owner's addresses."""

from django.urls import path

from accesscontrol.overview.pages import platform, platform_sign_in

app_name = "platform"
urlpatterns = [
    path("", platform.tenant_list, name="tenants"),
    path("new/", platform.new_tenant, name="new"),
    path("two-step/", platform_sign_in.two_step, name="two_step"),
    path("<int:platform_tenant_id>/", platform.one_tenant, name="tenant"),
    path("<int:platform_tenant_id>/suspend/", platform.suspend, name="suspend"),
    path("<int:platform_tenant_id>/resume/", platform.resume, name="resume"),
    path("<int:platform_tenant_id>/invite/", platform.invite, name="invite"),
]
