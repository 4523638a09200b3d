"""The language of a text, just well enough to ask for its continuation in it.

By script where a script has one language of note, by frequent small words where many share Latin
letters. A wrong guess costs little (models follow an English request within a German text), so
there is no library for it and whatever is unclear is English.
"""

from __future__ import annotations

import re
from typing import Final

_SAMPLE_CHARS: Final = 2000
_HITS_MIN: Final = 2
"""One small word may be a name, or another language's."""
_SCRIPT_SHARE_MIN: Final = 0.2
"""Names and code in Latin letters stand in texts of every script, hardly the other way round."""

_WORD: Final = re.compile(r"[^\W\d_]+")

_SCRIPTS: Final = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"),
    "zh": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
}
"""In this order: Japanese has Chinese characters too, but Chinese has no kana."""

_SMALL_WORDS: Final = {
    "en": "the and of to is that it for with this are was you not have",
    "de": "der die das und ist nicht ein eine mit für auf sich werden auch wir",
    "fr": "le les des est une et pas pour dans que qui sur avec vous nous",
    "es": "el los las es una y no por con para que como más del pero",
    "it": "il gli è una e non per con che sono della di più nel ma",
    "pt": "o os as é uma e não por com para que como mais do em",
    "nl": "de het een en is niet van op met voor dat zijn ook wij maar",
    "pl": "na nie się jest to że do jak ale dla przez oraz jako są tak",
    "tr": "ve bir bu için ile de da çok olarak daha gibi ne ama değil olan",
}
_LANGUAGES_OF: Final = {
    word: tuple(name for name, words in _SMALL_WORDS.items() if word in words.split())
    for words in _SMALL_WORDS.values()
    for word in words.split()
}

_REQUESTS: Final = {
    "en": "Your answer broke off. Continue exactly after the following words, without repeating "
    "them and without any comment:",
    "de": "Deine Antwort brach ab. Fahre genau nach den folgenden Worten fort, ohne sie zu "
    "wiederholen und ohne jeden Kommentar:",
    "fr": "Ta réponse a été interrompue. Continue exactement après les mots suivants, sans les "
    "répéter et sans aucun commentaire :",
    "es": "Tu respuesta se interrumpió. Continúa exactamente después de las siguientes palabras, "
    "sin repetirlas y sin ningún comentario:",
    "it": "La tua risposta si è interrotta. Continua esattamente dopo le parole seguenti, senza "
    "ripeterle e senza alcun commento:",
    "pt": "A tua resposta foi interrompida. Continua exatamente após as palavras seguintes, sem "
    "as repetir e sem nenhum comentário:",
    "nl": "Je antwoord werd afgebroken. Ga precies verder na de volgende woorden, zonder ze te "
    "herhalen en zonder commentaar:",
    "pl": "Twoja odpowiedź została przerwana. Kontynuuj dokładnie po następujących słowach, nie "
    "powtarzając ich i bez żadnego komentarza:",
    "tr": "Yanıtın yarıda kesildi. "  # noqa: RUF001 - Turkish
    "Aşağıdaki sözcüklerin hemen ardından, "  # noqa: RUF001 - Turkish
    "onları yinelemeden ve "  # noqa: RUF001 - Turkish
    "hiçbir yorum eklemeden devam et:",
    "ja": "あなたの回答は途中で切れました。次の言葉の直後から、それを繰り返さず、"
    "コメントも加えずに続けてください。",
    "ko": "답변이 중간에 끊겼습니다. 다음 말 바로 뒤부터, 그 말을 반복하거나 설명을 덧붙이지 말고 "
    "이어서 답하세요:",
    "zh": "你的回答中断了。请紧接着下面的文字继续。不要重复这些文字、不要添加任何说明。",
    "ru": "Ваш ответ прервался. Продолжите точно после следующих слов, не повторяя их и без "
    "каких-либо комментариев:",
    "ar": "انقطعت إجابتك. تابع بعد الكلمات التالية مباشرة، دون تكرارها ودون أي تعليق:",
    "hi": "आपका उत्तर बीच में रुक गया। निम्नलिखित शब्दों के ठीक बाद से, उन्हें दोहराए बिना और बिना किसी "
    "टिप्पणी के जारी रखें:",
}


def language_of(text: str) -> str:
    """Return the language of ``text`` as a code of two letters, ``en`` where it is unclear."""
    sample = text[-_SAMPLE_CHARS:].lower()
    letters = sum(map(len, _WORD.findall(sample)))
    for name, script in _SCRIPTS.items():
        if letters and len(script.findall(sample)) >= _SCRIPT_SHARE_MIN * letters:
            return name
    counts = dict.fromkeys(_SMALL_WORDS, 0)
    for word in _WORD.findall(sample):
        for name in _LANGUAGES_OF.get(word, ()):
            counts[name] += 1
    likeliest = max(counts, key=lambda name: counts[name])
    return likeliest if counts[likeliest] >= _HITS_MIN else "en"


def continue_after(tail: str, text: str) -> str:
    """Return the request to go on right after ``tail``, in the language of ``text``."""
    return f"{_REQUESTS[language_of(text)]}\n\n…{tail}"
