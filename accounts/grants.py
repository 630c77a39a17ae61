"""What the OAuth library asks of us: who is let through, what a code and a token look like, what is kept of them.

Codes and tokens are random and kept as digests. Codes and refreshes end with the consent and the membership; a refresh
token that comes a second time has been copied, and its whole family dies.
"""

import hashlib
import time
from typing import Any

from django.utils import timezone
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2.rfc6749.errors import UnsupportedCodeChallengeMethodError

from accounts import applications, audit
from accounts.keys import random_token
from accounts.models import OAuthApplication, OAuthConsent, OAuthRefreshToken

ACCESS = "gho_"
REFRESH = "ghf_"


def access_token(request: Any) -> str:
    return ACCESS + random_token()


def refresh_token(request: Any) -> str:
    return REFRESH + random_token()


def digest(token: str) -> str:
    """As the library keeps tokens; what is digested has 160 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


class Grants(OAuth2Validator):
    """The library's rules, and ours: consent, membership, the application's own scopes, PKCE."""

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: OAuthApplication, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return bool(scopes) and set(scopes) <= set(client.scopes)

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        client: OAuthApplication = request.client
        if request.code_challenge and request.code_challenge_method != "S256":
            # Before anybody is asked for consent; the library would tell it afterwards.
            raise UnsupportedCodeChallengeMethodError(request=request)
        return not (client.pkce_optional and client.client_type == OAuthApplication.CLIENT_CONFIDENTIAL)

    def save_authorization_code(self, client_id: str, code: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        # The code itself goes to the browser; the view of the token endpoint asks by this digest again.
        self._create_authorization_code(request, {**code, "code": digest(code["code"])})

    def validate_code(
        self, client_id: str, code: str, client: OAuthApplication, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        if not super().validate_code(client_id, code, client, request, *args, **kwargs):
            return False
        return applications.is_connected(client, request.user.pk)

    def validate_refresh_token(
        self, refresh_token: str, client: OAuthApplication, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        if super().validate_refresh_token(refresh_token, client, request, *args, **kwargs):
            return applications.is_connected(client, request.user.pk)
        copied = OAuthRefreshToken.objects.filter(token_checksum=digest(refresh_token), revoked__isnull=False).first()
        if copied is not None:
            consents = OAuthConsent.objects.filter(
                application_id=copied.application_id, membership__user_id=copied.user_id, ended_at=None
            )
            for given in consents:
                audit.record("refuse_reuse", "oauth_consent", given.pk, by=audit.SYSTEM, now=timezone.now())
        return False


class Answers(OAuthLibCore):
    """Adds `created_at`, from which the contract's clients compute when a token expires."""

    def _get_extra_credentials(self, request: Any) -> dict[str, Any]:
        return {"created_at": int(time.time())}
