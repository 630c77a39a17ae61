"""The addresses of OAuth."""

from django.urls import path

from accounts import consent, token_api

app_name = "oauth"
urlpatterns = [
    path("authorize", consent.authorize, name="authorize"),
    path("token", token_api.token, name="token"),
    path("revoke", token_api.revoke, name="revoke"),
    path("token/info", token_api.info, name="info"),
]
