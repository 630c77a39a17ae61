"""The paths of `/v1`, whatever else stands under it included, and the generator for MCP clients."""

from django.urls import path, re_path

from pins.codes.api.generator import PinView
from pins.codes.api.mcp import generate_tools
from pins.codes.api.one_time import CheckView, CodesView, ResendView
from pins.codes.api.shape import NothingHere

urlpatterns = [
    path("v1/generate/pin", PinView.as_view()),
    path("v1/codes", CodesView.as_view()),
    path("v1/codes/<str:public_id>/check", CheckView.as_view()),
    path("v1/codes/<str:public_id>/resend", ResendView.as_view()),
    # TinyFn's address, with the slash and not without.
    path("mcp/generate/", generate_tools),
    re_path(r"^v1(?:/[\s\S]*)?\Z", NothingHere.as_view()),
]
