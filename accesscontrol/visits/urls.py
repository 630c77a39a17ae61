"""The pages that visitors see themselves."""

from django.urls import path

from accesscontrol.visits.reveal_page import visit

urlpatterns = [
    path("visit/<str:token>", visit, name="visit"),
]
