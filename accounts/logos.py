"""A tenant's logo: whatever was uploaded is decoded here and encoded anew, so that no byte of the upload is kept.

Only pictures of dots are taken: an SVG may hold a script. What a picture weighs once unpacked is known before it is.
"""

import secrets
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from io import BytesIO
from typing import BinaryIO, Final

from django.db import transaction
from PIL import Image

from accounts import audit
from accounts.models import Tenant, TenantLogo
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id

LARGEST_FILE: Final = 1_000_000
MOST_DOTS: Final = 16_000_000
# Twice what is shown, for fine screens.
LARGEST: Final = (480, 160)
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")


class LogoTooBig(Refusal):
    code = "too_big"
    field = "logo"
    text = "The file may have 1 MB at most, and 16 million dots."


class NoPicture(Refusal):
    code = "no_picture"
    field = "logo"
    text = "This is no picture that can be read. Take a PNG, JPEG, WebP or GIF file."


@transaction.atomic
def set_logo(file: BinaryIO, *, by: audit.Actor, now: datetime) -> TenantLogo:
    """Keep a picture as the current tenant's logo, made small enough; refuses what is none or too big."""
    image = _decoded(file)
    values = {"image": _written(image), "width": image.width, "height": image.height, "changed_at": now}
    logo, _ = TenantLogo.objects.update_or_create(defaults=values)
    # A browser keeps it for a year under this number: no logo before it, and none of another tenant, has the same.
    _note(by, now, secrets.randbelow(2**31 - 1) + 1)
    return logo


def held(file: BinaryIO) -> str:
    """The picture as text, small and encoded anew, for a form that is asked something before it is saved."""
    text = urlsafe_b64encode(_written(_decoded(file))).decode()
    file.seek(0)
    return text


def released(text: str) -> BinaryIO:
    """What `held` gave, as a file again; refuses what is none of it."""
    try:
        return BytesIO(urlsafe_b64decode(text))
    except ValueError as error:
        raise NoPicture from error


@transaction.atomic
def remove_logo(*, by: audit.Actor, now: datetime) -> None:
    """Go without a logo again."""
    if TenantLogo.objects.all().delete()[0]:
        _note(by, now, 0)


def _note(by: audit.Actor, now: datetime, version: int) -> None:
    Tenant.objects.filter(pk=current_tenant_id()).update(logo_version=version)
    audit.record("change", "tenant", current_tenant_id(), by=by, now=now, fields=["logo"])


def _decoded(file: BinaryIO) -> Image.Image:
    data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise LogoTooBig
    try:
        with warnings.catch_warnings():
            # What the library warns of, a picture that unpacks to far more than it weighs, is measured below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(BytesIO(data), formats=_FORMATS)
        is_too_big = opened.width * opened.height > MOST_DOTS
        image = None if is_too_big else opened.convert("RGBA")
    except Image.DecompressionBombError:
        raise LogoTooBig from None
    except Exception:  # noqa: BLE001  # decoders raise whatever a broken file leads them to
        raise NoPicture from None
    if image is None:
        raise LogoTooBig
    image.thumbnail(LARGEST)
    # A new picture of these dots alone: comments, places and colour profiles of the upload do not travel.
    plain = Image.new("RGBA", image.size)
    plain.paste(image)
    return plain


def _written(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
