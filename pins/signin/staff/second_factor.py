"""The second factor of staff: codes of an authenticator app (TOTP), and backup codes for the day it is lost.

django-otp checks and throttles both; a PIN never stands in for them. Of a backup code only a keyed digest is kept, of
an app its secret under a PIN key. A second factor belongs to the user, so one tenant's owner takes it away only from
somebody of no other tenant, and never from who runs the installation.
"""

import base64
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import qrcode
from django.db import transaction
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken

from accounts import audit, keys
from accounts.callers import places_of
from accounts.models import Membership, User
from accounts.refusals import Refusal
from pins.signin.staff import mistakes, notices
from pins.signin.staff.models import AuthenticatorApp
from pins.vault.sealing import Tampered

logger = logging.getLogger(__name__)

CODES: Final = 10
# RFC 4226, section 4: 160 bits are recommended.
_SECRET_BYTES: Final = 20
# Without letters and digits that are taken for one another: 10 of 31 are 49 bits.
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class Accepted:
    """A code that was right: the device that it came from, and how many backup codes are left if it was one."""

    device: Any
    codes_left: int | None = None


class WrongCode(Refusal):
    code = "wrong_code"
    field = "code"
    text = "This code is not right. Codes change every 30 seconds, and each works once."


class TooManyCodes(Refusal):
    code = "too_many_codes"
    field = "code"
    text = "Too many wrong codes."


def is_enrolled(user: User) -> bool:
    """Whether signing in asks this user for a code."""
    return bool(AuthenticatorApp.objects.filter(user=user, confirmed=True).exists())


def codes_left(user: User) -> int:
    """How many backup codes this user has not used."""
    return int(StaticToken.objects.filter(device__user=user).count())


def check(user: User, entry: str, *, now: datetime) -> Accepted:
    """Take a code of the app or a backup code, each once; refuses a wrong one, and any while it must wait.

    In no savepoint of its own: the wrong code must stay counted, so the caller's transaction has to commit.
    """
    entry = "".join(entry.split()).replace("-", "").lower()
    try:
        if entry.isdecimal() and len(entry) <= 8:
            devices = AuthenticatorApp.objects.select_for_update().filter(user=user, confirmed=True)
            return _verified(devices, [entry], now)
        devices = StaticDevice.objects.select_for_update().filter(user=user, confirmed=True)
        return _verified(devices, _digests(user, entry), now)
    except WrongCode:
        mistakes.note(user, "code", now=now)
        raise


def _verified(devices: Iterable[Any], tokens: list[str], now: datetime) -> Accepted:
    for device in devices:
        is_allowed, why = device.verify_is_allowed()
        if not is_allowed:
            seconds = max(1, round((why["locked_until"] - now).total_seconds()))
            raise TooManyCodes(f"Too many wrong codes. Wait {seconds} seconds, then type the newest one.")
        token = tokens[0]
        if isinstance(device, StaticDevice):
            held = set(device.token_set.filter(token__in=tokens).values_list("token", flat=True))
            token = next((token for token in tokens if token in held), token)
        if _fits(device, token):
            left = device.token_set.count() if isinstance(device, StaticDevice) else None
            return Accepted(device, left)
    raise WrongCode


def _fits(device: Any, token: str) -> bool:
    try:
        return bool(device.verify_token(token))
    except Tampered:
        logger.exception("authenticator app %s of user %s", device.pk, device.user_id)
        return False


@transaction.atomic
def begin(user: User) -> AuthenticatorApp:
    """The app that is being added: one at a time, until its first code is typed."""
    app = AuthenticatorApp.objects.filter(user=user, confirmed=False).order_by("-pk").first()
    return app if app is not None and app.opens() else add(user, confirmed=False)


def add(user: User, *, confirmed: bool) -> AuthenticatorApp:
    """An app with a secret of its own; it counts once it is confirmed."""
    app = AuthenticatorApp(user=user, name="app", confirmed=confirmed)
    app.hold(secrets.token_bytes(_SECRET_BYTES))
    app.save()
    return app


def enrol(user: User, entry: str, *, by: audit.Actor, now: datetime) -> tuple[AuthenticatorApp, list[str]]:
    """Switch the new app on, as `switch_on` does, for a member of the current tenant, whom it tells."""
    device, codes = switch_on(user, entry, now=now)
    audit.record("enrol", "second_factor", user.pk, by=by, now=now)
    notices.tell(user, notices.SECOND_FACTOR_ON, now=now)
    return device, codes


def switch_on(user: User, entry: str, *, now: datetime) -> tuple[AuthenticatorApp, list[str]]:
    """Switch the new app on with its first code, in place of an earlier one; returns the backup codes, this once.

    Like `check`, in the caller's transaction, and in no tenant: platform owners may have none.
    """
    User.objects.select_for_update().get(pk=user.pk)
    device = AuthenticatorApp.objects.select_for_update().filter(user=user, confirmed=False).order_by("-pk").first()
    if device is None:
        raise WrongCode("This app was added already, or the page is too old. Open it anew.")
    _verified([device], ["".join(entry.split())], now)
    AuthenticatorApp.objects.filter(user=user).exclude(pk=device.pk).delete()
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    return device, _new_codes(user)


@transaction.atomic
def renew_codes(user: User, *, by: audit.Actor, now: datetime) -> list[str]:
    """New backup codes in place of all earlier ones; returned this once."""
    audit.record("renew", "backup_codes", user.pk, by=by, now=now)
    return _new_codes(user)


@transaction.atomic
def switch_off(user: User, *, by: audit.Actor, now: datetime) -> None:
    """Take the app and its backup codes away, as the user wished."""
    _remove(user)
    audit.record("remove", "second_factor", user.pk, by=by, now=now)
    notices.tell(user, notices.SECOND_FACTOR_OFF, now=now)


class WorksElsewhere(Refusal):
    code = "works_elsewhere"
    text = (
        "This person also works for another organisation, which relies on the same app. Whoever runs this installation "
        "can reset it with the command reset_second_factor."
    )


class RunsTheInstallation(Refusal):
    code = "runs_the_installation"
    text = (
        "This person runs the installation. Whoever has the server can reset the app with the command "
        "reset_second_factor."
    )


class NotEnrolled(Refusal):
    code = "not_enrolled"
    text = "This person has no second step to reset."


@transaction.atomic
def reset(membership: Membership, *, by: audit.Actor, now: datetime) -> None:
    """Take a lost app away from a member, who is told; refuses for somebody whom others rely on, too."""
    user = membership.user
    if user.is_platform_owner:
        raise RunsTheInstallation
    if any(place.tenant_id != membership.tenant_id for place in places_of(user.pk)):
        raise WorksElsewhere
    if not is_enrolled(user):
        raise NotEnrolled
    remove(user, by=by, now=now)


@transaction.atomic
def remove(user: User, *, by: audit.Actor, now: datetime) -> None:
    """Take a lost app away from a user, who is told by the current tenant."""
    _remove(user)
    audit.record("reset", "second_factor", user.pk, by=by, now=now)
    notices.tell(user, notices.SECOND_FACTOR_RESET, now=now)


def _remove(user: User) -> None:
    AuthenticatorApp.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()


def _new_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="backup codes")
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(10)) for _ in range(CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=_digests(user, code)[0]) for code in codes)
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def _digests(user: User, code: str) -> list[str]:
    """What is kept of a backup code under each secret key: 80 bits, as many letters as the column holds."""
    return [base64.b32encode(digest[:10]).decode().lower() for digest in keys.digests(f"backup:{user.pk}:{code}")]


@dataclass(frozen=True)
class Square:
    """A QR code as the path of an SVG image, which needs no style and no script."""

    size: int
    path: str


def square_of(device: AuthenticatorApp) -> Square:
    """The picture that an authenticator app reads."""
    code = qrcode.QRCode(border=2)
    code.add_data(device.config_url)
    rows = code.get_matrix()
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark)
    return Square(len(rows), path)


def secret_of(device: AuthenticatorApp) -> str:
    """The same by hand: letters in groups of four."""
    letters = base64.b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(letters[at : at + 4] for at in range(0, len(letters), 4))
