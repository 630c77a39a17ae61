"""Why a message was not sent, in a sentence that whoever wrote it can act on. Codes are those of `gateways`."""

import re
from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

_NUMBER = re.compile(r"(?P<what>\w+?)_(?P<number>\d{1,3})")


def in_words(code: str) -> str:
    """One sentence about a code of `last_error`; an unknown code gets a plain one."""
    found = _NUMBER.fullmatch(code)
    what, number = (found["what"], int(found["number"])) if found else (code, 0)
    sentence = _SENTENCES.get(what)
    return sentence(number) if sentence else _("It could not be sent.")


def _refused_receiver(number: int) -> str:
    if number in (550, 551, 553):
        return _("There is no such mailbox. Check the address.")
    if number == 552:
        return _("The mailbox is full.")
    if number >= 500:
        return _("The mail server refused the address. Check it.")
    return _("The mail server does not take mail for this address at the moment.")


def _refused_text(number: int) -> str:
    if number >= 500:
        return _(
            "The mail server refused the message, maybe as unwanted mail. Tell the visitor the PIN some other way."
        )
    return _("The mail server does not take the message at the moment.")


def _answer_of_sms(number: int) -> str:
    if number in (400, 422):
        return _("The text message service refused the number. Check it.")
    if number in (401, 403, 404):
        return _("The text message service did not let us in. Whoever runs the system must look.")
    return _("The text message service does not work at the moment.")


def _not_taken() -> str:
    return _(
        "The mail service sends nothing to this address, maybe because of earlier messages. "
        "Tell the visitor the PIN some other way."
    )


_SENTENCES: dict[str, Callable[[int], Any]] = {
    "recipient_refused": _refused_receiver,
    "message_refused": _refused_text,
    "sms_gateway_answered": _answer_of_sms,
    "address_invalid": lambda _number: _("This is not an e-mail address."),
    "address_not_supported": lambda _number: _("The mail server cannot reach addresses of this kind."),
    "mail_server_refused": lambda _number: _("The mail server did not let us in. Whoever runs the system must look."),
    "mail_server_timed_out": lambda _number: _("The mail server does not answer."),
    "mail_server_unreachable": lambda _number: _("The mail server cannot be reached."),
    "sms_not_configured": lambda _number: _("This installation has no gateway for text messages."),
    "sms_gateway_failed": lambda _number: _("The text message service does not work at the moment."),
    "sms_gateway_unknown": lambda _number: _(
        "The text message service is not set up properly. Whoever runs the system must look."
    ),
    "sms_gateway_unreachable": lambda _number: _("The text message service cannot be reached."),
    "bounced_invalid": lambda _number: _("This is not an e-mail address."),
    "bounced_bounced": lambda _number: _("There is no such mailbox, or it takes no mail. Check the address."),
    "bounced_timed_out": lambda _number: _("The mailbox could not be reached for too long."),
    "bounced_blocked": lambda _number: _not_taken(),
    "bounced_spam": lambda _number: _not_taken(),
    "bounced_unsubscribed": lambda _number: _not_taken(),
    "bounced_other": lambda _number: _("The message came back. Check the address."),
    "content_does_not_open": lambda _number: _("The message could not be opened. Whoever runs the system must look."),
    "not_prepared": lambda _number: _("The message could not be written. Whoever runs the system must look."),
    "worker_lost": lambda _number: _("Sending it broke off each time. Whoever runs the system must look."),
}
