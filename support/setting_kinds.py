"""The kinds of values that settings take: each checks a value, and says in words what is allowed (no torch here).

All words are pairs (English, Chinese).
"""

import math
import os
import re
from collections import namedtuple
from numbers import Integral, Real

# kind: a Kind.  english, chinese: the meaning.  source, default: pairs (English, Chinese); default: what stands in the
# place of a preset's value where that cannot be shown, else None.
Setting = namedtuple("Setting", "kind source english chinese default", defaults=(None,))


class NotAllowed(ValueError):
    """A value that a setting does not take."""


class Kind:
    """Any value.  ``none``: what None means, where a setting takes it."""

    words = "any value", "任意值"

    def __init__(self, none=None):
        self.none = none

    def allowed(self):
        """What the setting takes: (English, Chinese)."""
        if self.none is None:
            return self.words
        return f"{self.words[0]}; or None: {self.none[0]}", f"{self.words[1]}；或 None：{self.none[1]}"

    def take(self, value):
        """The value as it is kept.

        Raises:
            NotAllowed: if the setting does not take it.
        """
        if value is None and self.none is not None:
            return None
        return self._take(value)

    def _take(self, value):
        return value


class Whole(Kind):
    """A whole number from ``low`` to ``high`` (None: no bound); 1e4 is one too, and is kept as 10000."""

    def __init__(self, low, high=None, odd=False, none=None):
        super().__init__(none)
        self.low, self.high, self.odd = low, high, odd
        kind = ("an odd whole number", "奇数") if odd else ("a whole number", "整数")
        self.words = ((f"{kind[0]} from {low} to {high}", f"{low} 到 {high} 的{kind[1]}") if high is not None else
                      (f"{kind[0]}, at least {low}", f"{kind[1]}，不小于 {low}"))

    def _take(self, value):
        # True counts as 1 in Python, and is a mistake here.
        is_whole = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and value % 1 == 0
        if not is_whole or value < self.low or self.high is not None and value > self.high:
            raise NotAllowed
        if self.odd and value % 2 == 0:
            raise NotAllowed
        return int(value)


class Number(Kind):
    """A finite number, at least ``low`` or above ``above``, at most ``high`` or below ``below``."""

    def __init__(self, low=None, high=None, above=None, below=None, none=None):
        super().__init__(none)
        self.low, self.high, self.above, self.below = low, high, above, below
        if above is not None:
            self.words = f"a number above {above}", f"大于 {above} 的数"
        elif below is not None:
            self.words = f"a number from {low} to below {below}", f"{low} 到 {below} 的数（不含 {below}）"
        elif high is not None:
            self.words = f"a number from {low} to {high}", f"{low} 到 {high} 的数"
        else:
            self.words = f"a number, at least {low}", f"不小于 {low} 的数"

    def _take(self, value):
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise NotAllowed
        if (self.low is not None and value < self.low or self.high is not None and value > self.high
                or self.above is not None and value <= self.above or self.below is not None and value >= self.below):
            raise NotAllowed
        return int(value) if isinstance(value, Integral) else float(value)


class Flag(Kind):
    """True or False."""

    words = "True or False", "True 或 False"

    def _take(self, value):
        if not isinstance(value, bool):
            raise NotAllowed
        return value


class Choice(Kind):
    """One of some values; ``other``: what a text that is none of them names, such as a file."""

    def __init__(self, *choices, other=None, none=None):
        super().__init__(none)
        self.choices, self.other = choices, other
        all_of_them = [repr(choice) for choice in choices]
        english, chinese = [*all_of_them, *(other or ())[:1]], [*all_of_them, *(other or ())[1:]]
        self.words = tuple(comma.join(names[:-1]) + word + names[-1] if names[1:] else names[0]
                           for names, comma, word in ((english, ", ", " or "), (chinese, "、", " 或 ")))

    def _take(self, value):
        is_text = isinstance(value, (str, os.PathLike)) and os.fspath(value)
        if isinstance(value, bool) or not (
                isinstance(value, (str, Real)) and value in self.choices or self.other and is_text):
            raise NotAllowed
        return value


class Text(Kind):
    """A text, or a path; ``pattern``: a regular expression that all of it has to match."""

    def __init__(self, *words, pattern=None, none=None):
        super().__init__(none)
        self.words, self.pattern = words, pattern

    def _take(self, value):
        if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
            raise NotAllowed
        if self.pattern and not re.fullmatch(self.pattern, os.fspath(value)):
            raise NotAllowed
        return value


class ListOf(Kind):
    """A list (or tuple), each entry of one kind.  ``length``: how many it has; ``least``: how many at least."""

    def __init__(self, kind, length=None, least=0, none=None):
        super().__init__(none)
        self.kind, self.length, self.least = kind, length, least
        n = length or (f"at least {least}" if least else "")
        n_chinese = f"{length} 项" if length else f"至少 {least} 项" if least else ""
        self.words = (f"a list{f' of {n}' if n else ''}, in which each is {kind.words[0]}",
                      f"列表{f'（{n_chinese}）' if n_chinese else ''}，每一项为{kind.words[1]}")

    def _take(self, value):
        if not isinstance(value, (list, tuple)) or len(value) < self.least:
            raise NotAllowed
        if self.length and len(value) != self.length:
            raise NotAllowed
        return type(value)(self.kind.take(entry) for entry in value)


class OneOrMore(Kind):
    """A value of one kind, or a list of such values."""

    def __init__(self, kind, none=None):
        super().__init__(none)
        self.one, self.more = kind, ListOf(kind, least=1)
        self.words = f"{kind.words[0]}, or a list of these", f"{kind.words[1]}，或由它们组成的列表"

    def _take(self, value):
        return (self.more if isinstance(value, (list, tuple)) else self.one).take(value)


class Section(Kind):
    """Settings of its own, whose names begin with that of the section."""

    words = "a section, a dict of settings", "一组设置（dict）"

    def _take(self, value):
        if not isinstance(value, dict):
            raise NotAllowed
        return value


class Stage(Section):
    """The section of a stage: it may have its own value of every setting of the top level."""

    words = "a section, a dict of settings in which this stage differs", "一组设置（dict），写该阶段与顶层不同之处"


def section_of(described, name):
    """What is described of a section: dict of names in it -> Setting.

    Args:
        described: dict name -> Setting of the place where the section is; "G.n_channels" is n_channels in section G.
    """
    own = {key.removeprefix(name + "."): setting for key, setting in described.items() if key.startswith(name + ".")}
    if not isinstance(described[name].kind, Stage):
        return own
    return {**{key: setting for key, setting in described.items() if not is_of_a_stage(described, key)}, **own}


def is_of_a_stage(described, name):
    """Whether a name is a stage's section, or in one."""
    first = described.get(name.partition(".")[0])
    return first is not None and isinstance(first.kind, Stage)
