"""Pages of the admin for who works here: members, invitations, and how they sign in."""

from pins.signin.staff.admin import invitations, staff_members, staff_settings

__all__ = ["invitations", "staff_members", "staff_settings"]
