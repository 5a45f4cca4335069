"""What is a pattern, and what is refused."""

import pytest

from rheostat.engine.matcher import LONGEST, PatternError, matcher
from rheostat.engine.matcher.syntax import DEEPEST

REFUSED: list[tuple[str, int, str, str]] = [
    (r"(a)\1", 3, "backreference", "captures cannot be referred to"),
    (r"a(?P=n)", 1, "backreference", ""),
    (r"a\k<n>", 1, r"no \k", "captures cannot be referred to"),
    ("a(?=b)", 1, "lookaround", "a second clause"),
    ("a(?!b)", 1, "lookaround", "a second clause"),
    ("(?<=a)b", 0, "lookaround", "a second clause"),
    ("(?<!a)b", 0, "lookaround", "a second clause"),
    ("(?P<n>a)", 0, "named group", "(?:…)"),
    ("(?<n>a)", 0, "named group", "(?:…)"),
    ("(?'n'a)", 0, "named group", "(?:…)"),
    ("(?>a)", 0, "atomic", "(?:…)"),
    ("(?#a)", 0, "comment", ""),
    ("(?s)a", 0, "flags", "(?i)"),
    ("a(?i)b", 1, "flags", "at the very start"),
    ("(?i:a)", 0, "flags", "at the very start"),
    ("(?", 0, "flags", "(?i)"),
    ("a++", 1, "possessive", "second +"),
    ("a?+", 1, "possessive", "second +"),
    ("a{2}+", 1, "possessive", "second +"),
    ("a**", 2, "cannot be repeated", "(?:…)"),
    ("a{2}{3}", 4, "cannot be repeated", "(?:…)"),
    ("a???", 3, "cannot be repeated", "(?:…)"),
    ("*a", 0, "nothing to repeat", r"\*"),
    ("a|+", 2, "nothing to repeat", r"\+"),
    ("(?:?)", 3, "nothing to repeat", r"\?"),
    ("{2}", 0, "nothing to repeat", r"\{"),
    ("a{", 1, "not a count", r"\{"),
    ("a{,3}", 1, "not a count", "{2,5}"),
    ("a{x}", 1, "not a count", r"\{"),
    ("a{2", 1, "not a count", r"\{"),
    ("a{2,", 1, "not a count", r"\{"),
    ("a{2,x}", 1, "not a count", r"\{"),
    ("a{02}", 1, "not a count", r"\{"),
    ("a{2, 3}", 1, "not a count", r"\{"),
    ("a{٣}", 1, "not a count", r"\{"),
    ("a{1001}", 1, "at most 1000", ""),
    ("a{2,1001}", 1, "at most 1000", ""),
    ("a{1001,}", 1, "at most 1000", ""),
    ("a{" + "9" * 900 + "}", 1, "at most 1000", ""),
    ("a{3,2}", 1, "at least 3 and at most 2", ""),
    ("(a{100}){11}", 8, "more than 1000", ""),
    ("((a{40,}b?){5}|c){6}", 17, "more than 1000", ""),
    ("(abc){700}", 5, "too large", "less often"),
    ("a{900}b{100}c{999}d{100}", 13, "too large", "less often"),
    ("(()){1000}(){1000}(){1000}", 4, "too large", "less often"),
    ("(a", 0, "never closed", r"\("),
    ("a(b(c)", 1, "never closed", r"\("),
    ("a)", 1, "no group to close", r"\)"),
    ("[a", 0, "never closed", r"\["),
    ("b[]", 1, "never closed", "comes first"),
    ("[^]", 0, "never closed", "comes first"),
    ("[a-", 0, "never closed", r"\["),
    ("[z-a]", 1, "backwards", ""),
    (r"[a-\d]", 1, "from one character", r"\-"),
    (r"[\d-z]", 1, "from one character", r"\-"),
    ("[a-c-e]", 4, "lacks its beginning", r"\-"),
    ("[[:alpha:]]", 1, "named classes", "a-z"),
    ("[a[=b=]]", 2, "named classes", "a-z"),
    ("[\ud800]", 1, "surrogate", ""),
    ("a\udfff", 1, "surrogate", ""),
    ("a\\", 1, "ends the pattern", r"\\"),
    ("[a\\", 2, "ends the pattern", r"\\"),
    (r"\bx", 0, r"no \b", r"(?:^|\W)"),
    (r"x\B", 1, r"no \B", ""),
    (r"\Ax", 0, r"no \A", "^"),
    (r"x\z", 1, r"no \z", "$"),
    (r"x\Z", 1, r"no \Z", "$"),
    (r"\pL", 0, r"no \p", "as a class"),
    (r"\P{Greek}", 0, r"no \P", ""),
    (r"\u0041", 0, r"no \u", r"\x{1F642}"),
    (r"\0", 0, r"no \0", r"\x00"),
    (r"\Qa.b\E", 0, r"no \Q", r"\."),
    (r"\é", 0, r"no \é", ""),
    ("\\\n", 0, "no \\", ""),
    (r"\x4", 0, "no character's number", "hexadecimal"),
    (r"\xg0", 0, "no character's number", "hexadecimal"),
    (r"\x{}", 0, "no character's number", "hexadecimal"),
    (r"\x{41", 0, "no character's number", "hexadecimal"),
    (r"\x{0000041}", 0, "no character's number", "hexadecimal"),
    (r"\x{4_1}", 0, "no character's number", "hexadecimal"),
    (r"\x{110000}", 0, "no character has this", r"\x{10FFFF}"),
    (r"\x{D800}", 0, "no character has this", r"\x{D800}"),
    ("x" * (LONGEST + 1), LONGEST, "at most 1000 characters", ""),
    ("(" * 60 + "a" + ")" * 60, DEEPEST, "nested more than 50", ""),
]


@pytest.mark.parametrize(("pattern", "position", "message", "hint"), REFUSED, ids=[case[0][:24] for case in REFUSED])
def test_what_is_refused_is_told_with_its_place(pattern: str, position: int, message: str, hint: str) -> None:
    """A fault names the character where it is, and what to write instead where something helps."""
    with pytest.raises(PatternError) as caught:
        matcher(pattern)

    assert message in caught.value.message
    assert caught.value.position == position
    assert str(caught.value).endswith(f", at character {position + 1}")
    assert hint in (caught.value.hint or "")
    assert bool(hint) is bool(caught.value.hint)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("b", "abc", "ac"),
        ("", "", None),
        ("^$", "", "\n"),
        ("a$", "ba", "a\n"),
        ("^a", "ab", "ba"),
        ("a^b|$c", None, "a\nb"),
        ("x.y", "x\ry", "x\ny"),
        ("x.y", "x\ud800y", "xy"),
        ("[^a]", "\n", "a"),
        ("[]a]+z", "]az", "z"),
        ("[^]a]", "b", "]"),
        ("^[a-]$", "-", "b"),
        ("^[-a]$", "-", "b"),
        ("^[--/]$", ".", ","),
        ("^[[(]$", "[", "\\"),
        (r"^[\]\-\\\x41\x{42}\t ]+$", "]-\\AB\t ", "^"),
        ("]}", "]}", "]"),
        (r"\.\*\ \_\"", '.* _"', "a"),
        (r"^\t\n\v\f\r$", "\t\n\v\f\r", "tnvfr"),
        (r"^\x41\x{1f642}$", "A🙂", "a🙂"),
        (r"^\d+$", "09", "٣"),
        (r"^\w+$", "aZ_0", "é"),
        (r"^\s+$", "\t\n\f\r ", "\v"),
        (r"^\S\W\D$", "\v-\xa0", "abc"),
        ("^a{2}$", "aa", "a"),
        ("^a{2,}$", "aaa", "a"),
        ("^a{1,2}b{0}$", "aa", "aaa"),
        ("^a{0}$", "", "a"),
        ("^(a??|b*?|c+?){2}?$", "bbc", "d"),
        ("^(?:a|(b|))c$", "c", "ac "),
        ("(^|,)b(,|$)", "a,b", "ab"),
        ("(?i)^straße$", "ſTRAẞE", "strasse"),
        ("(?i)[^k]", "a", "\u212a"),
        (r"(?i)^\W$", "-", "ſ"),
        (r"(?i)^[k-k\x{DF}]+$", "KKẞ", "j"),
        ("^(ab|cd)[ef]$", "cdf", "abg"),
        (r"^[^\x00-a]$", "b", "a"),
        (r"^[^b-\x{10FFFF}]$", "a", "b"),
        (r"[^\x00-\x{10FFFF}]", None, "a"),
        ("ab|cd|ef", "xcdy", "acebdf"),
        ("(^a|b)?", "", None),
        ("x$|", "", None),
        ("a*$", "b", None),
        ("^(a|bc)*", "d", None),
        ("(a{1000}b?){1}$", "a" * 1000, "a" * 999),
    ],
)
def test_what_a_pattern_says(pattern: str, matching: str | None, other: str | None) -> None:
    """The search is unanchored; sets are ASCII; ``$`` is the very end; a dot is any character but a newline."""
    if matching is not None:
        assert matcher(pattern)(matching) is True
    if other is not None:
        assert matcher(pattern)(other) is False


@pytest.mark.parametrize(
    "pattern", ["(" * DEEPEST + "a" + ")" * DEEPEST, "a" * LONGEST, "a{1000}b{1000}", "(a{10}){100}"]
)
def test_the_largest_patterns_are_read(pattern: str) -> None:
    """Limits are what is still allowed."""
    assert matcher(pattern)("") is False
