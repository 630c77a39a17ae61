"""An expected "no" to an operation: a stable code, a sentence for people, and the field it is about.

A Refusal stops the operation; a rejected PIN is an answer and no Refusal. A subclass stands right above the
function that raises it. `constraint` names the database constraint whose violation the refusal puts in words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.db import IntegrityError, transaction
from django.utils.translation import gettext


class Refusal(Exception):
    """An operation that cannot be done; `status` is what an HTTP interface answers.

    A text with places such as %(door)s is filled by the facts of the same names.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 422
    text: ClassVar[str] = "This is not possible."
    field: ClassVar[str | None] = None
    constraint: ClassVar[str | None] = None

    def __init__(self, text: str | None = None, *, field: str | None = None, **facts: Any) -> None:
        self.pattern = text or self.text
        self.sentence = self.pattern % facts if facts else self.pattern
        self.about = field or self.field
        self.facts = facts
        super().__init__(self.sentence)

    def in_words(self) -> str:
        """The sentence in the language of whoever reads it; `sentence` is English, for machines and logs."""
        words = gettext(self.pattern)
        return words % self.facts if self.facts else words


@contextmanager
def refusing(*refusals: type[Refusal]) -> Iterator[None]:
    """Run in a savepoint; a violated constraint that one of `refusals` names becomes that refusal."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        violated = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        for refusal in refusals:
            if violated is not None and violated == refusal.constraint:
                raise refusal from error
        raise
