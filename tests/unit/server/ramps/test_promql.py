"""Which counters a query means, and what is said of one that means none."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.ramps.promql import (
    MOST_NESTED,
    MOST_SELECTORS,
    Counters,
    Matcher,
    PromqlError,
    Selector,
    any_of,
    counters_of,
    filled_in,
    matchers_of,
    quoted,
)


def texts(counters: Counters) -> tuple[list[str], list[str]]:
    """Return the selectors as text: added, taken away."""
    return [str(one) for one in counters.plus], [str(one) for one in counters.minus]


@pytest.mark.parametrize(
    ("query", "plus", "minus"),
    [
        ("requests_total", ["requests_total"], []),
        ('requests_total{code=~"5..", job!="x"}', ['requests_total{code=~"5..",job!="x"}'], []),
        ("requests_total{a!~'b',c='d'}", ['requests_total{a!~"b",c="d"}'], []),
        ("sum by (arm) (requests_total)", ["requests_total"], []),
        ("sum(sum without (pod) ((a_total)))", ["a_total"], []),
        ("sum(a) + sum by (x) (b)", ["a", "b"], []),
        ("sum(a) - sum(b) - sum(c)", ["a"], ["b", "c"]),
        ("(sum(a)) - (sum(b) - sum(c))", ["a", "c"], ["b"]),
        ('{__name__=~"a|b"}', ['{__name__=~"a|b"}'], []),
        ('{__name__="a", x="1"}', ['a{x="1"}'], []),
        ('{"a.b", "x.y"="1"}', ['{__name__="a.b","x.y"="1"}'], []),
        ("a_total # and a (comment", ["a_total"], []),
        ("a_total # a line\n", ["a_total"], []),
        ('a{b="\\"}\\\\\\n"}', ['a{b="\\"}\\\\\\n"}'], []),
        ("a{b=`c`}", ['a{b="c"}'], []),
    ],
)
def test_a_sum_of_counters_is_read_by_its_selectors(query: str, plus: list[str], minus: list[str]) -> None:
    """Selectors and sums of them are found, each with its sign, and spelled so that Prometheus reads the same."""
    assert texts(counters_of(query)) == (plus, minus)


@pytest.mark.parametrize(
    ("query", "said", "hint"),
    [
        ("", "no expression", "give counters"),
        ("a{", "column 2: { is not closed", "close it with }"),
        ('a{b="c', 'column 5: " is not closed', 'close it with "'),
        ("sum(a", "column 4: ( is not closed", "close it with )"),
        ("sum(a))", "column 7: ) closes nothing", "take it away"),
        ("(" * (MOST_NESTED + 1) + "a", f"deeper than {MOST_NESTED}", "give counters"),
        ("a{code=500}", "column 8: unexpected character", "in quotes"),
        ("a{job=$job}", "column 7: unexpected character", "within quotes"),
        ('a{b=~"["}', "illegal regex", "RE2's"),
        ("foo(a)", "column 1: unknown function", "give counters"),
        ("rate(a)", "expected type matrix", "give counters"),
        ('sum(rate(a{b="c"}[5m]))', "rate() counts over a window", 'the counter itself: a{b="c"}'),
        ("increase(a[5m:1m])", "increase() counts over a window", "give the counter itself"),
        ("increase(a[5m] offset 1h)", "increase() counts over a window", "give the counter itself"),
        ("a[5m]", "a range is not wanted", "leave out"),
        ("a offset 5m", "another time", "leave them out"),
        ("a @ 100", "another time", "leave them out"),
        ('a{b="1" or c="2"}', "`or` between conditions", "regular expression"),
        ("a + b", "joins series by their labels", "sum(…) + sum(…)"),
        ("sum(a) - b", "joins series by their labels", "sum(…) - sum(…)"),
        ("sum(a) + (sum(b) + c)", "joins series by their labels", "sum(…) + sum(…)"),
        ("sum(a + b)", "inside of sum() joins series", "sum(…) + sum(…)"),
        ("sum(sum(a) + sum(b))", "inside of sum() joins series", "sum(…) + sum(…)"),
        ("avg(a)", "avg() is no sum", "sum(…)"),
        ("abs(a)", "abs() is no counter", "give counters"),
        ("histogram_quantile(0.9, a)", "histogram_quantile() is no counter", "give counters"),
        ("a * 2", "no sum of counters", "give counters"),
        ("sum(a) / sum(b)", "no sum of counters", "give counters"),
        ("1", "no sum of counters", "give counters"),
        ("-a", "no sum of counters", "give counters"),
        (" + ".join(["sum(a)"] * (MOST_SELECTORS + 1)), f"at most {MOST_SELECTORS}", "select more at once"),
    ],
)
def test_what_is_no_sum_of_counters_is_refused_with_what_would_do(query: str, said: str, hint: str) -> None:
    """The fault says where the parser stopped, or what is wrong, and the hint names the form that works."""
    with pytest.raises(PromqlError, match=re.escape(said)) as refused:
        counters_of(query)

    assert hint in refused.value.hint


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever people write, the answer is counters or a fault."""
    try:
        counters_of(text)
    except PromqlError:
        pass


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_label_value_is_found_again(value: str) -> None:
    """A value with quotes, backslashes and line breaks is the same after it was spelled and read."""
    spelled = f"a{{b={quoted(value)}}}"

    assert counters_of(spelled) == Counters((Selector("a", (Matcher("b", "=", value),)),))
    assert str(counters_of(spelled).plus[0]) == spelled


def test_placeholders_are_filled_in_as_text() -> None:
    """Known ones are replaced, in a regular expression literally; others, and longer words, stay."""
    selector = Selector("a", (Matcher("b", "=", "$flag.$ramp-$flags"), Matcher("c", "=~", "$flag|x")))

    filled = filled_in(selector, {"flag": "new.checkout"})

    assert str(filled) == 'a{b="new.checkout.$ramp-$flags",c=~"new\\\\.checkout|x"}'


@pytest.mark.parametrize("text", ['a="b", c=~"d"', '{a="b",c=~"d",}', ' a="b",c=~"d" '])
def test_conditions_are_read_with_or_without_braces(text: str) -> None:
    """A list of label conditions is what stands between the braces of a selector."""
    assert matchers_of(text) == (Matcher("a", "=", "b"), Matcher("c", "=~", "d"))


@pytest.mark.parametrize("text", ["a", 'a="b"} or x{c="d"', "a=b", 'a="b" or c="d"'])
def test_what_is_no_list_of_conditions_is_refused(text: str) -> None:
    """Anything but label conditions is a fault."""
    with pytest.raises(PromqlError):
        matchers_of(text)


def test_no_conditions_are_none() -> None:
    """Empty text and empty braces select everything."""
    assert matchers_of("") == matchers_of("{}") == ()


def test_one_of_several_values_is_a_condition() -> None:
    """One value is compared, several are alternatives, literally."""
    assert str(any_of("le", ["0.5"])) == 'le="0.5"'
    assert str(any_of("le", ["1.0", "1"])) == 'le=~"1|1\\\\.0"'
