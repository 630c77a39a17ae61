"""A new PIN in the place of a forgotten one: by the link's token, by a code, or by security answers.

What is wrong is counted before its Refusal is raised: let the transaction commit. Identifiers that are nobody's take
the same work, count and lock; what is wrong with the new PIN itself is told first and costs no try.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from accounts import audit
from accounts.refusals import Refusal
from pins.signin import counting, pin, tokens
from pins.signin.account import of_subscriber
from pins.signin.choosing import refuse_unfit
from pins.signin.counting import About
from pins.signin.identifiers import Identifier
from pins.signin.models import SignInSettings, Subscriber, Token
from pins.signin.resetting import codes
from pins.signin.resetting.codes import Found
from pins.signin.resetting.forgetting import medium_of
from pins.signin.subscribers import questions
from pins.signin.subscribers.registering import phones_of
from pins.signin.subscribers.signing_in import RECOVERY, Blocked, Locked, about_identifier, refuse_where_off
from pins.throttle.attempts import Subject, Try, Waiting


class LinkUnusable(Refusal):
    code = "link_unusable"
    text = "This link cannot be used. Ask for a new one."


class LinkUsed(Refusal):
    code = "link_used"
    text = "This link was used already. Ask for a new one."


class LinkOver(Refusal):
    code = "link_over"
    text = "This link has expired. Ask for a new one."


def live_link(value: str, *, now: datetime, locks: bool = False) -> Token:
    """The reset token that was shown; refuses one that is unknown, used, replaced or over, each in its words."""
    token = tokens.find(Token.Kind.RESET, value, locks=locks)
    if token is not None and token.used_at is not None:
        raise LinkUsed
    if token is None or token.revoked_at is not None:
        raise LinkUnusable
    if now >= token.expires_at:
        raise LinkOver
    return token


def by_link(value: str, new_pin: str, *, by: audit.Actor, now: datetime) -> None:
    """Reset with the token of a link, which works once; a PIN that is refused leaves it as it was."""
    refuse_where_off(SignInSettings.of_tenant())
    token = live_link(value, now=now, locks=True)
    _replace(token.subscriber, new_pin, by=by, now=now)
    tokens.use(token, now=now)


class CodeWrong(Refusal):
    code = "code_wrong"
    text = "This code is not right."


class CodeUsed(Refusal):
    code = "code_used"
    text = "This code was used already. Ask for a new one."


class CodeOver(Refusal):
    code = "code_over"
    text = "This code has expired. Ask for a new one."


_NOT_RIGHT: dict[Found, type[Refusal]] = {Found.WRONG: CodeWrong, Found.USED: CodeUsed, Found.OVER: CodeOver}


def by_code(identifier: Identifier, value: str, new_pin: str, *, by: audit.Actor, now: datetime) -> None:
    """Reset with a code that was sent; one failure more for the identifier and the account where it is wrong."""
    settings = SignInSettings.of_tenant()
    refuse_where_off(settings)
    refuse_unfit(new_pin, settings)
    subscriber = identifier.holder()
    counted = _Counted(identifier, subscriber, "code", value, settings, by=by, now=now)
    found, code = codes.find(subscriber, medium_of(identifier.kind), value, now=now)
    if counted.is_barred or code is None or subscriber is None:
        counted.wrong()
        raise _NOT_RIGHT[Found.WRONG if counted.is_barred else found]
    _replace(subscriber, new_pin, by=by, now=now)
    codes.use(code, now=now)
    counted.right()


class AnswersWrong(Refusal):
    code = "answers_wrong"
    text = "These answers are not right."


def by_answers(
    identifier: Identifier, answers: Mapping[str, str], new_pin: str, *, by: audit.Actor, now: datetime
) -> None:
    """Reset with the answers to every question asked; counted like a code."""
    settings = SignInSettings.of_tenant()
    refuse_where_off(settings)
    if not settings.security_questions:
        raise questions.QuestionsAreOff
    refuse_unfit(new_pin, settings)
    subscriber = identifier.holder()
    counted = _Counted(identifier, subscriber, "answer", repr(sorted(answers.items())), settings, by=by, now=now)
    is_right = questions.are_right(subscriber, answers, settings)
    if counted.is_barred or not is_right or subscriber is None:
        counted.wrong()
        raise AnswersWrong
    _replace(subscriber, new_pin, by=by, now=now)
    counted.right()


class _Counted:
    """One try, counted for what was typed and for the account behind it.

    The first lock shows. The second would tell that two identifiers are one account's, so it only makes everything
    wrong; it is there because an account with three identifiers must not have three times as many tries.
    """

    def __init__(
        self,
        identifier: Identifier,
        subscriber: Subscriber | None,
        what: str,
        entry: str,
        settings: SignInSettings,
        *,
        by: audit.Actor,
        now: datetime,
    ) -> None:
        self._by, self._now = by, now
        self._about = about_identifier(identifier, subscriber, what)
        shown = counting.begin(self._about, settings, entry=entry, by=by, now=now)
        if isinstance(shown, Waiting):
            raise Locked(locked_until=now + timedelta(seconds=shown.retry_after))
        key = of_subscriber(subscriber.pk).key if subscriber else identifier.digest
        behind = Subject(RECOVERY, key)
        self._silent_about = About(behind, self._about.audit_type, self._about.audit_id, what)
        self._shown: Try = shown
        self._silent = counting.begin(self._silent_about, settings, entry=entry, by=by, now=now)

    @property
    def is_barred(self) -> bool:
        return isinstance(self._silent, Waiting)

    def wrong(self) -> None:
        counting.wrong(self._shown, self._about, by=self._by, now=self._now)
        if isinstance(self._silent, Try):
            # The entry is on record already.
            counting.wrong(self._silent, self._silent_about, by=self._by, now=self._now, is_told=False)

    def right(self) -> None:
        counting.right(self._shown, self._about, by=self._by, now=self._now)
        if isinstance(self._silent, Try):
            self._silent.right()


def _replace(subscriber: Subscriber, new_pin: str, *, by: audit.Actor, now: datetime) -> None:
    """A new PIN ends a lock and every login that is open; a PIN session goes on, now with the new PIN."""
    if subscriber.blocked_at is not None:
        raise Blocked
    pin.reset_pin(of_subscriber(subscriber.pk), new_pin, by=by, now=now, phones=phones_of(subscriber))
    tokens.revoke(subscriber.pk, [Token.Kind.ACCESS, Token.Kind.REFRESH, Token.Kind.RESET], now=now)
