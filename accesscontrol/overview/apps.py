from django.apps import AppConfig


class OverviewConfig(AppConfig):
    name = "accesscontrol.overview"
    label = "overview"
