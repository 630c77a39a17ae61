"""Security questions: which an account must answer, and whether the answers are right.

An answer is kept as the slow hash of its keyed digest. Accounts without answers, and identifiers that are nobody's,
are asked decoys: always the same ones, taken from the tenant's list.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.auth.hashers import check_password, make_password

from accounts import audit, keys
from accounts.refusals import Refusal
from pins.signin.identifiers import Identifier
from pins.signin.models import SecurityAnswer, SignInSettings, Subscriber

LONGEST: Final = 200


@dataclass(frozen=True)
class Question:
    id: str
    text: str


def offered(settings: SignInSettings) -> list[Question]:
    """The questions that the tenant offers."""
    return [Question(id_of(text), text) for text in settings.security_questions]


def id_of(text: str) -> str:
    """A question's id for good: another wording is another question."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class QuestionsAreOff(Refusal):
    code = "questions_are_off"
    text = "Security questions are switched off."


class AnswersUnusable(Refusal):
    code = "answers_unusable"
    field = "SecurityQuestionAnswer"


def answer(subscriber: Subscriber, answers: Mapping[str, str], *, by: audit.Actor, now: datetime) -> None:
    """Keep the holder's answers in the place of earlier ones; refuses too few, and to questions nobody asks."""
    texts = refuse_unfit(answers)
    given = {name.lower(): _plain(text) for name, text in answers.items()}
    SecurityAnswer.objects.filter(subscriber=subscriber).delete()
    SecurityAnswer.objects.bulk_create(
        SecurityAnswer(
            subscriber=subscriber, question_id=name, question=texts[name], answer=make_password(_digests(text)[0])
        )
        for name, text in sorted(given.items())
    )
    audit.record("answer_questions", "subscriber", subscriber.pk, by=by, now=now)


def refuse_unfit(answers: Mapping[str, str]) -> dict[str, str]:
    """Refuse what `answer` would refuse, before anything else is done; the questions by id."""
    settings = SignInSettings.of_tenant()
    known = {question.id: question.text for question in offered(settings)}
    if not known:
        raise QuestionsAreOff
    given = {name.lower(): _plain(text) for name, text in answers.items()}
    if unknown := sorted(given.keys() - known.keys()):
        raise AnswersUnusable(f"There is no security question “{unknown[0][:32]}”.")
    if len(given) < settings.questions_asked:
        raise AnswersUnusable(f"Answer {settings.questions_asked} security questions.")
    if not all(0 < len(text) <= LONGEST for text in given.values()):
        raise AnswersUnusable(f"An answer has 1 to {LONGEST} characters.")
    if len(set(given.values())) < len(given):
        raise AnswersUnusable("Give each question another answer.")
    return known


def asked(identifier: Identifier, settings: SignInSettings) -> list[Question]:
    """The questions for whoever says they are this; decoys for nobody and for accounts without answers."""
    subscriber = identifier.holder()
    held = _held(subscriber.pk if subscriber else 0, settings)
    return [Question(row.question_id, row.question) for row in held] or _decoys(identifier, settings)


def asked_of(subscriber: Subscriber, settings: SignInSettings) -> list[Question]:
    """The questions that an account has answers to."""
    return [Question(row.question_id, row.question) for row in _held(subscriber.pk, settings)]


def are_right(subscriber: Subscriber | None, answers: Mapping[str, str], settings: SignInSettings) -> bool:
    """Whether every question asked is answered right; as many slow hashes whoever it is and whatever was sent."""
    held = _held(subscriber.pk if subscriber else 0, settings)
    given = {name.lower(): _plain(text)[:LONGEST] for name, text in answers.items()}
    right = len(held) > 0
    for place in range(settings.questions_asked):
        if place < len(held):
            digests = _digests(given.get(held[place].question_id, ""))
            right &= any(check_password(digest, held[place].answer) for digest in digests)
        else:
            make_password(_digests("")[0])
    return right


def _held(subscriber_id: int, settings: SignInSettings) -> list[SecurityAnswer]:
    rows = SecurityAnswer.objects.filter(subscriber_id=subscriber_id).order_by("question_id")
    return list(rows[: settings.questions_asked])


def _decoys(identifier: Identifier, settings: SignInSettings) -> list[Question]:
    drawn = sorted(offered(settings), key=lambda question: keys.digest(f"decoy|{identifier.digest}|{question.id}"))
    return sorted(drawn[: settings.questions_asked], key=lambda question: question.id)


def _plain(text: str) -> str:
    """As it is meant: neither case nor spaces tell answers apart."""
    return " ".join(text.casefold().split())


def _digests(text: str) -> list[str]:
    return [digest.hex() for digest in keys.digests(f"security answer|{text}")]
