from django.apps import AppConfig


class ReservationsConfig(AppConfig):
    name = "accesscontrol.reservations"
    label = "reservations"
