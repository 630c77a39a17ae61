from django.apps import AppConfig


class VisitsConfig(AppConfig):
    name = "accesscontrol.visits"
    label = "visits"
