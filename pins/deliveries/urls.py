from django.urls import path

from pins.deliveries.reports import reports

urlpatterns = [path("mail/reports/", reports, name="mail_reports")]
