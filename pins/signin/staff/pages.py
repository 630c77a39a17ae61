"""What every page of sign-in has in common: never kept by a browser, in the tenant's time, refusals in their place."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_post_parameters

from accounts.admin_site import caller_of, tenant_of
from accounts.refusals import Refusal

View = Callable[..., HttpResponseBase]


def page(view: View) -> View:
    """A page that no cache and no back button shows again; its fields never stand in an error report."""

    @wraps(view)
    @sensitive_post_parameters()
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        zone = tenant_of(request).zone if caller_of(request) else timezone.get_current_timezone()
        with timezone.override(zone):
            response = view(request, *args, **kwargs)
        add_never_cache_headers(response)
        return response

    return answer


def signed_in(view: View) -> View:
    """A page of somebody's own account; others are asked to sign in."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated or caller_of(request) is None:
            return to_sign_in(request)
        return view(request, *args, **kwargs)

    return page(answer)


def to_sign_in(request: HttpRequest, **query: str) -> HttpResponse:
    """Off to the sign-in, and back here afterwards."""
    here = request.get_full_path() if request.method == "GET" else request.path
    return redirect(f"{reverse('staff:sign_in')}?{urlencode({'next': here, **query})}")


def refuse(form: forms.Form, refusal: Refusal) -> None:
    """Show a refusal beside its field, or above them all."""
    form.add_error(refusal.about if refusal.about in form.fields else None, gettext(refusal.sentence))
