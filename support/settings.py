"""A configuration that refuses a word it does not know (no torch here)."""

import ast
import difflib

from easydict import EasyDict

from support.messages import SaysItAll


class UnknownSetting(SaysItAll, ValueError):
    """A setting that the configuration does not have; the message names the nearest ones."""


class Settings(EasyDict):
    """An EasyDict, closed once it is complete: ``config.bach_size = 8`` is then an error and not a new key.

    Sections (dicts inside) are closed with it.  A setting of one's own comes in by ``add``.
    """

    def __init__(self, values=(), name="config"):
        # Not EasyDict's own __init__: it takes the methods of a subclass for settings.
        dict.__init__(self)
        object.__setattr__(self, "_name", name)          # past EasyDict: an attribute that is no setting
        object.__setattr__(self, "_known", None)         # None: open; else names that may come in besides the present
        self.add(**dict(values))

    def add(self, **settings):
        """Put in settings that need not be known, such as those of a loss of one's own."""
        for key, value in settings.items():
            if type(value) is dict or isinstance(value, EasyDict):
                value = Settings(value, f"{self._name}.{key}")
            super().__setattr__(key, value)

    def close(self, **more):
        """Refuse unknown settings from now on, in all sections too.

        Args:
            more: names that are allowed besides those that are there: ``own=[...]`` for this level,
                the name of a section for that section.
        """
        object.__setattr__(self, "_known", frozenset(more.get("own", ())))
        for key, section in self.items():
            if isinstance(section, Settings):
                section.close(own=more.get(key, ()))

    def names(self):
        """All settings that this section takes."""
        return sorted({*self, *(self.__dict__.get("_known") or ())})

    def __setattr__(self, key, value):
        known = self.__dict__.get("_known")              # a copy puts items in before or after it has its attributes
        if known is not None and key not in self.__dict__ and key not in known:
            raise UnknownSetting(self._unknown(key, f" A setting of your own: {self._name}.add({key}={value!r})."))
        section = self.get(key)
        if isinstance(section, Settings) and isinstance(value, dict):        # a new section knows what the old one knew
            new = Settings({}, section._name)
            new.close(own=section.names())
            new.update(value)
            value = new
        super().__setattr__(key, value)

    __setitem__ = __setattr__

    def __getattr__(self, key):                          # only where there is no such attribute
        if key.startswith("_"):
            raise AttributeError(key)
        raise AttributeError(self._unknown(key))

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self, other):
        self.update(other)
        return self

    def _unknown(self, key, more=""):
        names = self.names()
        near = difflib.get_close_matches(str(key), names, n=3, cutoff=0.5)
        all_of_them = f" It has {', '.join(names)}." if len(names) < 12 else ""
        hint = f" Did you mean {' or '.join(near)}?" if near else all_of_them
        return f"{self._name} has no setting {key!r}.{hint} config.py tells what each setting is.{more}"


def change(config, text):
    """``batch_size=8``, ``pretrain.lr=2e-4`` or ``content_loss=mse``: what ``--set`` puts into a configuration.

    Returns:
        (key, value): "pretrain.lr", 0.0002.

    Raises:
        ValueError: if the text is no KEY=VALUE, there is no such setting (UnknownSetting), it needs a number, or
            changing it would change nothing because each stage has its own.
    """
    key, equals, word = text.partition("=")
    *sections, last = key.split(".")
    if not equals:
        raise ValueError(f"--set takes KEY=VALUE, not {text!r} (name everything else before --set).")
    place = config
    for name in sections:
        if not isinstance(place.get(name), dict):
            reason = f"{place._name}.{name} has no parts." if name in place else place._unknown(name)
            raise UnknownSetting(f"--set {text}: {reason}")
        place = place[name]
    own = [f"{stage}.{last}" for stage in config.get("stages", ()) if last in config.get(stage, {})]
    if not sections and own:
        raise ValueError(f"--set {text} would change nothing: the stage has its own; set {' and '.join(own)}.")
    try:
        value = ast.literal_eval(word)
    except (ValueError, SyntaxError):
        value = word                               # a plain word, such as content_loss=mse
    if isinstance(value, str) and isinstance(place.get(last, config.get(last)), (int, float)):
        raise ValueError(f"--set {text}: config.{key} is a number.")
    try:
        place[last] = value
    except UnknownSetting:
        raise UnknownSetting(f"--set {text}: {place._unknown(last)}") from None
    return key, value
