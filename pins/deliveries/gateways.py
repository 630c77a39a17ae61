"""The ways out: e-mail by Django's mail back end or by anymail's of a provider, text messages through Apprise.

What goes wrong comes back as Unsendable with a short code. `for_good`: this receiver or this text will never
be taken; all else (no answer, a rejected sign-in, a full mailbox) may pass, so the message is tried again.
"""

import logging
import re
import threading
from email.mime.image import MIMEImage
from email.utils import formataddr, parseaddr
from functools import cache
from pathlib import Path
from smtplib import SMTPDataError, SMTPNotSupportedError, SMTPRecipientsRefused, SMTPResponseException
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.filebased import EmailBackend as FileBackend

from pins.deliveries.rendering import Email

# What an HTTP gateway answers to a wrong receiver or text; 401, 403 and 404 are the operator's to mend.
_REFUSED_FOR_GOOD = frozenset({400, 410, 422})
_OURS_TO_MEND = frozenset({401, 403, 404})

_log = logging.getLogger(__name__)


class Unsendable(Exception):
    """A try that failed. `code` holds no address, no PIN and no words of the other side."""

    def __init__(self, code: str, *, for_good: bool = False, gateway_is_down: bool = False) -> None:
        self.code, self.for_good, self.gateway_is_down = code, for_good, gateway_is_down
        super().__init__(code)


def send_email(email: Email, *, to: str, message_id: str) -> None:
    """Hand one e-mail to the mail server; a repeat carries the same Message-ID. Raises Unsendable."""
    message = EmailMultiAlternatives(
        subject=email.subject,
        body=email.text,
        from_email=_sender(email.sender_name),
        to=[to],
        headers={
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
        },
    )
    # What a provider tells back when it reports what became of the message; mail servers never see it.
    message.metadata = {"message": message_id.strip("<>").partition("@")[0]}  # type: ignore[attr-defined]
    message.attach_alternative(email.html, "text/html")
    for file in email.files:
        message.attach(file.name, file.content, file.type)
    if email.logo is not None:
        logo = MIMEImage(email.logo, "png")
        logo.add_header("Content-ID", "<logo>")
        logo.add_header("Content-Disposition", "inline", filename="logo.png")
        message.attach(logo)
    try:
        message.message()
    except ValueError:
        # Django refuses what cannot stand in a header, such as a line break in an address.
        raise Unsendable("address_invalid", for_good=True) from None
    try:
        if settings.EMAIL_BACKEND.endswith("filebased.EmailBackend"):
            # The files carry PINs; whoever wants others to read them makes the folder for them.
            Path(settings.EMAIL_FILE_PATH).mkdir(mode=0o700, parents=True, exist_ok=True)  # type: ignore[misc]
        message.connection = get_connection()
        if isinstance(message.connection, FileBackend):
            _say_once(message.connection.file_path)
        message.send()
    except SMTPRecipientsRefused as error:
        code = max((int(answer[0]) for answer in error.recipients.values()), default=0)
        raise Unsendable(f"recipient_refused_{code}", for_good=code >= 500) from None
    except SMTPDataError as error:
        raise Unsendable(f"message_refused_{error.smtp_code}", for_good=error.smtp_code >= 500) from None
    except SMTPNotSupportedError:
        raise Unsendable("address_not_supported", for_good=True) from None
    except SMTPResponseException as error:
        # The greeting, the sign-in or our own address was refused: for the operator to mend.
        raise Unsendable(f"mail_server_refused_{error.smtp_code}", gateway_is_down=True) from None
    except TimeoutError:
        raise Unsendable("mail_server_timed_out", gateway_is_down=True) from None
    except OSError as error:
        # Likewise of a provider that is asked over HTTP: with a status, it was reached.
        raise _answered(getattr(error, "status_code", None)) from None
    except Exception as error:  # noqa: BLE001  # other back ends raise what they like, quoting the message
        if type(error).__name__ == "AnymailRecipientsRefused":
            raise Unsendable("recipient_refused_500", for_good=True) from None
        raise Unsendable("mail_back_end_failed_0") from None


def _answered(status: int | None) -> Unsendable:
    if status is None:
        return Unsendable("mail_server_unreachable", gateway_is_down=True)
    if status in _OURS_TO_MEND:
        return Unsendable(f"mail_server_refused_{status}", gateway_is_down=True)
    return Unsendable(f"mail_back_end_failed_{status}", for_good=status in _REFUSED_FOR_GOOD)


def send_sms(text: str, *, to: str) -> None:
    """Hand one text message to the gateway that SMS_URL names. Raises Unsendable."""
    if not settings.SMS_URL:
        raise Unsendable("sms_not_configured", for_good=True)
    _apprise_status.code = 0
    try:
        plugin = _sms_plugin(to)
        accepted = plugin is not None and plugin.notify(body=text, title="", body_format="text")
    except Exception:  # noqa: BLE001  # plugins raise what they like, quoting the message
        raise Unsendable("sms_gateway_failed") from None
    if plugin is None:
        raise Unsendable("sms_gateway_unknown", gateway_is_down=True)
    if accepted:
        return
    status = _apprise_status.code
    if status:
        raise Unsendable(f"sms_gateway_answered_{status}", for_good=status in _REFUSED_FOR_GOOD)
    raise Unsendable("sms_gateway_unreachable", gateway_is_down=True)


def _sms_plugin(to: str) -> Any:
    # Importing it takes half a second, which only those who send text messages pay.
    import apprise  # noqa: PLC0415

    logging.getLogger("apprise").addFilter(_keep_status_only)
    # "memory": nothing of a message is written to this machine's disk.
    asset = apprise.AppriseAsset(app_id="Gatehouse", storage_mode="memory", async_mode=False)
    return apprise.Apprise.instantiate(settings.SMS_URL.replace("{phone}", quote(to, safe="")), asset=asset)


# Apprise tells the HTTP status of an error only to its log.
_apprise_status = threading.local()


def _keep_status_only(record: logging.LogRecord) -> bool:
    """Drop what Apprise logs, which can hold number and text, and note the HTTP status of an error."""
    found = re.search(r"error=(\d{3})\b", record.getMessage())
    if found:
        _apprise_status.code = int(found[1])
    return False


def _sender(name: str) -> str:
    """The installation's address under the tenant's name."""
    return formataddr((" ".join(name.split()), parseaddr(settings.DEFAULT_FROM_EMAIL)[1]))


@cache
def _say_once(folder: str) -> None:
    _log.info("E-mail is not sent anywhere but written to files in %s", folder)
