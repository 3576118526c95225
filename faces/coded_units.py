"""Action units as coders write them: one grammar for the notations of all databases.

    coding := element ("+" element)*          also "," ";" and the Chinese comma
    element := unit ("or" unit)* | "(" element ")" | "ref(" coding ")" | a remark in words
    unit := [side] [AU | AD | M] number [intensity ["/" intensity]] ["(k)"]

A side is L, R, A, U, T or B, or two of these ("A/L"); an intensity is a letter from A (trace) to E (maximum). A letter
before a number is a side, and a letter after it is an intensity: "A1B" is asymmetric, unit 1, intensity B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

# The meanings of the letters before a number, according to the FACS manual.
SIDES = {"L": "left", "R": "right", "A": "asymmetric", "U": "unilateral", "T": "top", "B": "bottom"}
# This number and all higher ones denote positions of the head and eyes, not units of the face.
FIRST_POSITION = 51
UNIT = re.compile(
    r"(?P<side>[LRAUTB](?:/[LRAUTB])?)?\s*(?P<kind>AU|AD|M)?\s*(?P<number>\d{1,3})\s*(?P<intensity>[A-E](?:/[A-E])?)?"
    r"\s*(?P<held>\(k\))?",
    re.IGNORECASE,
)
OR = re.compile(r"\bor\b", re.IGNORECASE)
REFERENCE = re.compile(r"(?:ref)?\s*\(", re.IGNORECASE)
SEPARATOR = re.compile("[+,;\uff0c]")
# Text longer than this is not a coding.
LONGEST = 300
UNKNOWN = {"?", "/", "-"}


@dataclass(frozen=True)
class Unit:
    """One action unit, descriptor (AD) or head movement (M).

    side: the letters as coded, "" for both sides.
    intensity: "A" to "E", "A/B" if the coder was undecided, or "" if none was coded.
    weak: whether the unit is coded only as a reference, as in "ref(24)".
    held: whether the unit is coded "(k)", that is, present throughout the clip and thus without motion.
    """

    number: int
    kind: str = "AU"
    side: str = ""
    intensity: str = ""
    weak: bool = False
    held: bool = False

    @property
    def name(self) -> str:
        """The unit's name in the suite's notation: "AU06"."""
        return f"{self.kind}{self.number:02d}"

    def __str__(self) -> str:
        kind = "" if self.kind == "AU" else self.kind
        text = f"{self.side}{kind}{self.number}{self.intensity}{'(k)' if self.held else ''}"
        return f"ref({text})" if self.weak else text


@dataclass(frozen=True)
class Coding:
    """A coder's description of one expression.

    raw: the text as it appears in the sheet.
    terms: the parts joined by "+". Each term lists its alternatives ("R12 or R14"), one of which the coder saw.
    remarks: the words among the terms.
    unknown: whether the coder could not decide ("?"), which differs from "no action unit".
    """

    raw: str
    terms: tuple[tuple[Unit, ...], ...] = ()
    remarks: tuple[str, ...] = ()
    unknown: bool = False

    def certain(self) -> frozenset[str]:
        """Return the names of the facial units that certainly moved, excluding alternatives, references and units held
        throughout the clip."""
        return frozenset(term[0].name for term in self.terms if len(term) == 1 and _counts(term[0]))

    def possible(self) -> frozenset[str]:
        """Return the names of the facial units that may have moved, including alternatives and references."""
        return frozenset(unit.name for term in self.terms for unit in term if _counts(replace(unit, weak=False)))

    def __str__(self) -> str:
        """Return the coding in a uniform notation, from which `parse` reads the same terms."""
        joined = [str(term[0]) if len(term) == 1 else f"({' or '.join(map(str, term))})" for term in self.terms]
        return "?" if self.unknown else "+".join([*joined, *self.remarks])


def _counts(unit: Unit) -> bool:
    return unit.kind == "AU" and unit.number < FIRST_POSITION and not unit.weak and not unit.held


def parse(text: str) -> Coding:
    """Read any coder's text. Nothing is rejected: text that is not a unit becomes a remark, and "" has no terms."""
    if text.strip() in UNKNOWN:
        return Coding(text, unknown=True)
    if len(text) > LONGEST:
        return Coding(text, remarks=(text.strip(),))
    terms: list[tuple[Unit, ...]] = []
    remarks: list[str] = []
    for element in _split(text, SEPARATOR):
        found = _terms(element)
        terms += found
        if not found:
            remarks.append(element)
    return Coding(text, tuple(terms), tuple(remarks))


def _terms(element: str) -> list[tuple[Unit, ...]]:
    """Return an element's terms: one, or several for a reference to several units, or [] if it cannot be parsed."""
    choices = _split(element, OR)
    if len(choices) > 1:
        parts = [[unit for term in _terms(choice) for unit in term] for choice in choices]
        return [tuple(unit for part in parts for unit in part)] if all(parts) else []
    opening = REFERENCE.match(element)
    if opening and _closes(element, opening.end()):
        inner = [_terms(part) for part in _split(element[opening.end() : -1], SEPARATOR)]
        weak = not element.startswith("(")
        terms = [tuple(replace(unit, weak=unit.weak or weak) for unit in term) for found in inner for term in found]
        return terms if all(inner) else []
    match = UNIT.fullmatch(element)
    if not match:
        return []
    side, kind, intensity = ((match[name] or "").upper() for name in ("side", "kind", "intensity"))
    return [(Unit(int(match["number"]), kind or "AU", side, intensity, held=bool(match["held"])),)]


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Return text split at the separators outside parentheses, without empty parts."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(rf"[()]|{separator.pattern}", text, separator.flags):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth = max(depth - 1, 0)
        elif depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _closes(element: str, start: int) -> bool:
    """Return whether the parenthesis that opens just before `start` is closed by the element's last character."""
    depth = 1
    for index in range(start, len(element)):
        depth += (element[index] == "(") - (element[index] == ")")
        if depth == 0:
            return index == len(element) - 1
    return False
