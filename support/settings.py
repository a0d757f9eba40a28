"""A configuration that refuses a word it does not know, and a value that a setting does not take (no torch here)."""

import ast
import difflib

from easydict import EasyDict

from support.messages import SaysItAll
from support.setting_kinds import NotAllowed, section_of


class UnknownSetting(SaysItAll, ValueError):
    """A setting that the configuration does not have; the message names the nearest ones."""


class BadSetting(SaysItAll, ValueError):
    """A value that a setting does not take, or settings that do not fit together."""


class Settings(EasyDict):
    """An EasyDict, closed once it is complete: ``config.bach_size = 8`` is then an error and not a new key, and so is
    ``config.batch_size = 2.5``.

    Sections (dicts inside) are closed with it.  A setting of one's own comes in by ``add``, with any value.
    """

    def __init__(self, values=(), name="config"):
        # Not EasyDict's own __init__: it takes the methods of a subclass for settings.
        dict.__init__(self)
        object.__setattr__(self, "_name", name)          # past EasyDict: an attribute that is no setting
        object.__setattr__(self, "_described", None)     # None: open; else dict name -> support.setting_kinds.Setting
        self.add(**dict(values))

    def add(self, **settings):
        """Put in settings that need not be known, such as those of a loss of one's own.

        Raises:
            BadSetting: for the value of a setting that is known.
        """
        for key, value in settings.items():
            value = self._checked(key, value)
            if type(value) is dict or isinstance(value, EasyDict) and not isinstance(value, Settings):
                value = Settings(value, f"{self._name}.{key}")
            super().__setattr__(key, value)

    def close(self, described):
        """Refuse unknown settings and wrong values from now on, in all sections too; those that are there are checked.

        Args:
            described: dict name -> Setting; "G.n_channels" is n_channels in the section G.

        Raises:
            BadSetting: for a value that is there already.
        """
        object.__setattr__(self, "_described", described)
        self.add(**self)

    def names(self):
        """All settings that this section takes."""
        return sorted({*self, *(name for name in self._described or () if "." not in name)})

    def _checked(self, key, value):
        """The value as it is kept: a section is closed in its turn."""
        setting = (self.__dict__.get("_described") or {}).get(key)
        if setting is None:
            return value
        name = f"{self._name}.{key}"
        try:
            value = setting.kind.take(value)
        except NotAllowed:
            given = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
            raise BadSetting(f"{name} cannot be {given}: it is {setting.kind.allowed()[0]} "
                             f"({setting.english}).") from None
        if isinstance(value, dict):
            section = Settings((), name)
            section.close(section_of(self._described, key))
            # What a section has besides the described was let in by its own ``add``.
            own = value if isinstance(value, Settings) else self.get(key) or ()
            for inner, entry in value.items():
                if inner in own:
                    section.add(**{inner: entry})
                else:
                    section[inner] = entry
            return section
        return value

    def __setattr__(self, key, value):
        described = self.__dict__.get("_described")      # a copy puts items in before or after it has its attributes
        if described is not None and key not in self.__dict__ and key not in described:
            raise UnknownSetting(self._unknown(key, f" A setting of your own: {self._name}.add({key}={value!r})."))
        super().__setattr__(key, self._checked(key, value))

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
        ValueError: if the text is no KEY=VALUE, there is no such setting (UnknownSetting), it does not take this
            value (BadSetting), or changing it would change nothing because each stage has its own.
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
    try:
        place[last] = value
    except UnknownSetting:
        raise UnknownSetting(f"--set {text}: {place._unknown(last)}") from None
    except BadSetting as error:
        raise BadSetting(f"--set {text}: {error}") from None
    return key, place[last]
