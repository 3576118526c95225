"""The grammar of action units: every notation found in the databases' sheets, and properties of all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.faces.coded_units import Coding, Unit, parse

# Notations that coders used in CASME II, SAMM, CAS(ME)3, 4DME and DFME, with their meanings.
WRITTEN = {
    "12": [[Unit(12)]],
    "4+L10": [[Unit(4)], [Unit(10, side="L")]],
    "L14+L15": [[Unit(14, side="L")], [Unit(15, side="L")]],
    "R12": [[Unit(12, side="R")]],
    "1+R2+25": [[Unit(1)], [Unit(2, side="R")], [Unit(25)]],
    "12A": [[Unit(12, intensity="A")]],
    "7B+43E": [[Unit(7, intensity="B")], [Unit(43, intensity="E")]],
    "7B+56": [[Unit(7, intensity="B")], [Unit(56)]],
    "4A/B": [[Unit(4, intensity="A/B")]],
    "10A/B": [[Unit(10, intensity="A/B")]],
    "T23": [[Unit(23, side="T")]],
    "R6A+R12": [[Unit(6, side="R", intensity="A")], [Unit(12, side="R")]],
    "L14C": [[Unit(14, side="L", intensity="C")]],
    "L14+R6A": [[Unit(14, side="L")], [Unit(6, side="R", intensity="A")]],
    "A1B+A2C": [[Unit(1, side="A", intensity="B")], [Unit(2, side="A", intensity="C")]],
    "A/L12": [[Unit(12, side="A/L")]],
    "T18+39": [[Unit(18, side="T")], [Unit(39)]],
    "B18+25": [[Unit(18, side="B")], [Unit(25)]],
    "ref(5)": [[Unit(5, weak=True)]],
    "12A+ref(24)": [[Unit(12, intensity="A")], [Unit(24, weak=True)]],
    "ref(L10)+A12B": [[Unit(10, side="L", weak=True)], [Unit(12, side="A", intensity="B")]],
    "A9E+ref(10)": [[Unit(9, side="A", intensity="E")], [Unit(10, weak=True)]],
    "7C+A12B": [[Unit(7, intensity="C")], [Unit(12, side="A", intensity="B")]],
    "R12 or R14": [[Unit(12, side="R"), Unit(14, side="R")]],
    "R14A or 17A or 24A": [
        [Unit(14, side="R", intensity="A"), Unit(17, intensity="A"), Unit(24, intensity="A")],
    ],
    "(R6 or R12)+R15": [[Unit(6, side="R"), Unit(12, side="R")], [Unit(15, side="R")]],
    "L12 + 61": [[Unit(12, side="L")], [Unit(61)]],
    "12+15 ": [[Unit(12)], [Unit(15)]],
    "AU4(k)+AU12": [[Unit(4, held=True)], [Unit(12)]],
    "4,7\uff0c10": [[Unit(4)], [Unit(7)], [Unit(10)]],
    "AD38+M59": [[Unit(38, "AD")], [Unit(59, "M")]],
}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_coders_wrote_is_understood(text):
    coding = parse(text)
    assert [list(term) for term in coding.terms] == WRITTEN[text]
    assert coding.raw == text
    assert coding.remarks == ()
    assert not coding.unknown


def test_words_are_kept_beside_the_units():
    coding = parse("R14+17+soft focus")
    assert [str(term[0]) for term in coding.terms] == ["R14", "17"]
    assert coding.remarks == ("soft focus",)


def test_unknown_is_not_none():
    assert parse("?").unknown
    assert not parse("").unknown
    assert parse("?").certain() == parse("").certain() == frozenset()


def test_only_what_moved_for_sure_is_certain():
    coding = parse("R12 or R14+ref(5)+4(k)+61+M59+A6B")
    assert coding.certain() == {"AU06"}
    assert coding.possible() == {"AU05", "AU06", "AU12", "AU14"}


sides = st.sampled_from(["", "L", "R", "A", "U", "T", "B", "A/L"])
units = st.builds(
    Unit,
    st.integers(0, 99),
    st.sampled_from(["AU", "AD", "M"]),
    sides,
    st.sampled_from(["", "A", "B", "C", "D", "E", "A/B"]),
    weak=st.booleans(),
    held=st.booleans(),
)
terms = st.lists(st.lists(units, min_size=1, max_size=3).map(tuple), max_size=4).map(tuple)


@given(terms)
def test_what_is_written_in_one_notation_reads_back(drawn):
    assert parse(str(Coding("", drawn))).terms == drawn


@given(terms, st.sampled_from([" ", "  ", "\t"]), st.sampled_from("+,;\uff0c"))
def test_spaces_and_separators_do_not_matter(drawn, space, separator):
    text = str(Coding("", drawn)).replace("+", f"{space}{separator}{space}")
    assert parse(f"{space}{text}{space}").terms == drawn


@given(st.text(max_size=60) | st.text("LRAUTB0123456789+()/or ,ref?k", max_size=40))
def test_any_text_is_read_and_kept(text):
    coding = parse(text)
    assert coding.raw == text
    assert parse(str(coding)).terms == coding.terms
