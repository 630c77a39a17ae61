"""The paths of an application's accounts, spelled in any case, and the page behind a link."""

from django.urls import path, re_path

from pins.signin.api.view import identity
from pins.signin.reset_page import reset


def in_any_case(word: str) -> str:
    """A pattern for these letters; a flag for the whole pattern could not be turned into addresses again."""
    return "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in word)


app_name = "signin"
urlpatterns = [
    re_path(rf"^{in_any_case('identity/v2')}(?:/[\s\S]*)?\Z", identity, name="identity"),
    re_path(rf"^{in_any_case('ciam')}/[\s\S]*\Z", identity),
    path("pin/reset/<str:token>", reset, name="reset"),
]
