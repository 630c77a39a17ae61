"""Settings: tables of which a tenant has one row. Their address leads to its page; there is no list."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts.admin.records import TenantAdmin


class OnlyRowAdmin(TenantAdmin):
    """The page of the one row; saving stays on it."""

    of_whole_tenant = True

    def only_row(self, request: HttpRequest) -> Any:
        """The row, made with its defaults where nobody has looked yet."""
        return self.model._default_manager.get_or_create()[0]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[self.only_row(request).pk]))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        super().response_change(request, obj)
        return HttpResponseRedirect(request.path)
