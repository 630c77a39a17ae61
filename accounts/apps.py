from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class AccountsConfig(AppConfig):
    default = True
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts import checks  # noqa: F401  # registers them


class GatehouseAdminConfig(AdminConfig):
    default_site = "accounts.admin_site.GatehouseSite"
