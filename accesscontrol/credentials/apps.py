from django.apps import AppConfig


class CredentialsConfig(AppConfig):
    name = "accesscontrol.credentials"
    label = "credentials"
