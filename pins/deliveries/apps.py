from django.apps import AppConfig


class DeliveriesConfig(AppConfig):
    name = "pins.deliveries"
    label = "deliveries"
    verbose_name = "Deliveries"
