from django.apps import AppConfig


class VaultConfig(AppConfig):
    name = "pins.vault"
    label = "vault"

    def ready(self) -> None:
        from pins.vault import checks  # noqa: F401  # registers them
