"""Staff pages that cross rooms: the first page, those that tell the whole story of one row, and pages of no table."""

from accesscontrol.overview.admin import credentials, doors, people, tenant_settings
from accesscontrol.overview.admin.dashboard import overview
from accesscontrol.overview.pages import data_protection, who_could
from accounts.admin_site import add_page

__all__ = ["credentials", "doors", "overview", "people", "tenant_settings"]

add_page("who-could/", who_could.page, "who_could")
add_page("data-protection/", data_protection.overview_page, "data_protection")
add_page("people/person/<int:person_id>/export/", data_protection.export_page, "person_export")
add_page("people/person/<int:person_id>/erase/", data_protection.erase_page, "person_erase")
