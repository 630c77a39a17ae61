from django.apps import AppConfig


class CodesConfig(AppConfig):
    name = "pins.codes"
    label = "codes"
    default_auto_field = "django.db.models.BigAutoField"
