from django.apps import AppConfig


class DoorsConfig(AppConfig):
    name = "accesscontrol.doors"
    label = "doors"
