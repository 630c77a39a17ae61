from django.apps import AppConfig


class SignInConfig(AppConfig):
    name = "pins.signin"
    label = "signin"
    verbose_name = "PIN sign-in"
    default_auto_field = "django.db.models.BigAutoField"
