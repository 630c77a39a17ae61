from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "accesscontrol.webhooks"
    label = "webhooks"
