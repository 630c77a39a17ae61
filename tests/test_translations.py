"""The catalogues: compiled ones say what the written ones say, and translations keep what is filled in."""

import gettext
import re

import pytest
from django.conf import settings
from django.utils import translation

from accesscontrol.management import catalogues
from pins.deliveries.rendering import known_language

LANGUAGES = catalogues.languages()


def test_every_language_but_english_has_a_catalogue():
    assert LANGUAGES == ["de", "es", "zh-hans"]
    assert {known_language(code) for code, _ in settings.LANGUAGES} == {"en", *LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language):
    catalogue = catalogues.read(language)
    assert catalogues.path_of(language, "mo").read_bytes() == catalogues.compiled(catalogue)
    with catalogues.path_of(language, "mo").open("rb") as file:
        read = gettext.GNUTranslations(file)
    assert read.gettext("Your PIN") == catalogue["Your PIN"].string != "Your PIN"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_untranslated(language):
    """What code and templates say now; `manage.py translations` collects it."""
    assert catalogues.untranslated(catalogues.renewed(language)) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_what_is_filled_in(language):
    for message in catalogues.read(language):
        ids = message.id if isinstance(message.id, (tuple, list)) else [message.id]
        strings = message.string if isinstance(message.string, (tuple, list)) else [message.string]
        if not message.id or not all(strings):
            continue
        for string in strings:
            assert set(names_in(string)) <= set(names_in("".join(ids))), string
            assert set(names_in(string)) >= set(names_in(ids[-1])), string
            assert len(string) - len(string.strip()) == 0 or message.context, string


def names_in(text):
    return re.findall(r"%\(\w+\)[sd]|%[sd]|\{\w*\}", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_people_are_addressed_politely(language):
    """“Sie” in German, “usted” in Spanish: no familiar form."""
    familiar = {"de": r"\b([Dd]u|[Dd]ich|[Dd]ein\w*)\b", "es": r"\b(tú|tus?|te)\b", "zh-hans": r"你"}
    for message in catalogues.read(language):
        for string in message.string if isinstance(message.string, (tuple, list)) else [message.string or ""]:
            assert not re.search(familiar[language], string), string


def test_chinese_has_one_plural_and_its_own_punctuation():
    catalogue = catalogues.read("zh-hans")
    assert catalogue.num_plurals == 1
    for message in catalogue:
        for string in message.string if isinstance(message.string, (tuple, list)) else [message.string or ""]:
            assert not re.search(r"[\u4e00-\u9fff][,;?!](?!\w)|[\u4e00-\u9fff]\.(?=$|\s)", string), string
    with translation.override("zh-hans"):
        assert translation.ngettext("Door", "Doors", 1) == translation.ngettext("Door", "Doors", 3) == "门"


def test_a_template_is_collected_however_it_is_indented(tmp_path, settings):
    page = tmp_path / "page.html"
    page.write_text('{% if a %}\n      {% translate "One" %}\n  {% blocktranslate trimmed count n=n %}\n two\n'
                    '{% plural %}\n {{ n }} threes{% endblocktranslate %}{% endif %}')  # fmt: skip
    assert [message for message, _ in catalogues._messages(page)] == ["One", ("two", "%(n)s threes")]
