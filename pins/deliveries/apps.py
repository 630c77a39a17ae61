from django.apps import AppConfig


class DeliveriesConfig(AppConfig):
    name = "pins.deliveries"
    label = "deliveries"
    verbose_name = "Deliveries"

    def ready(self) -> None:
        from pins.deliveries import checks  # noqa: F401  # registers them
