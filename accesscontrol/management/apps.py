from django.apps import AppConfig


class ManagementConfig(AppConfig):
    """Makes the commands in `accesscontrol/management/commands` known; an app must own a folder `management`."""

    name = "accesscontrol"
    label = "accesscontrol"
