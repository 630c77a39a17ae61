from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "accesscontrol.access"
    label = "access"
