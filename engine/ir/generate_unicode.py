#!/usr/bin/env python3
"""Writes unicode.inc: simple lower-case mappings and word classes of code points from U+0080 on.

Run it in this folder only to move to a newer Unicode: python3 generate_unicode.py > unicode.inc
The data come from Python's own unicodedata module.
"""
import unicodedata

LAST = 0x3FFFF


def lower(code):
    if code == 0x130:  # the only letter whose simple lower case differs from Python's two-character answer
        return 0x69
    text = chr(code).lower()
    return ord(text) if len(text) == 1 else code


def lower_ranges():
    """Runs of equal distance, one or two code points apart: (first, last, step, distance)."""
    pairs = [(c, lower(c) - c) for c in range(0x80, LAST) if not 0xD800 <= c < 0xE000 and lower(c) != c]
    runs = []
    for code, distance in pairs:
        if runs and runs[-1][3] == distance:
            first, last, step, _ = runs[-1]
            gap = code - last
            if gap in (1, 2) and (first == last or gap == step):
                runs[-1] = (first, code, gap, distance)
                continue
        runs.append((code, code, 1, distance))
    return runs


def word_class(code):
    """0 separates, 1 letter or mark, 2 digit, 3 a word by itself; None for what is not assigned."""
    if 0xD800 <= code < 0xE000:
        return 0
    if code in (0xAD, 0x200C, 0x200D):
        return 1
    char = chr(code)
    category = unicodedata.category(char)
    if category in ("Cn", "Co"):
        return None
    name = unicodedata.name(char, "")
    if "IDEOGRAPH" in name and category[0] in "LN" or name.startswith("HIRAGANA LETTER") or code in (0x3005, 0x3007):
        return 3
    if category == "Nd":
        return 2
    return 1 if category[0] in "LM" or category == "Nl" else 0


def class_ranges():
    runs = []
    for code in range(0x80, LAST):
        kind = word_class(code)
        if kind is None:
            continue
        if runs and runs[-1][2] == kind:
            runs[-1] = (runs[-1][0], code, kind)
        else:
            runs.append((code, code, kind))
    return [run for run in runs if run[2]]


def table(rows):
    line = "   "
    for row in rows:
        cell = " {" + ", ".join(row) + "},"
        if len(line) + len(cell) > 116:
            print(line)
            line = "   "
        line += cell
    print(line)


print("// Written by generate_unicode.py from Unicode", unicodedata.unidata_version + ". Not edited by hand.")
print("constexpr LowerRange kLowerRanges[] = {")
table([(hex(a), hex(b), str(s), str(d)) for a, b, s, d in lower_ranges()])
print("};")
print("constexpr ClassRange kClassRanges[] = {")
table([(hex(a), hex(b), str(k)) for a, b, k in class_ranges()])
print("};")
