from django.apps import AppConfig


class DeskConfig(AppConfig):
    """The front desk's pages; no tables of its own."""

    name = "accesscontrol.desk"
    label = "desk"
