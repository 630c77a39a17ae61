from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "accesscontrol.people"
    label = "people"
