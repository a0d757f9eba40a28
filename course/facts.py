"""course.toml, read and checked: what differs from school to school."""

import sys
from datetime import datetime
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from easydict import EasyDict

DEFAULTS = {
    "course": {"name": "", "name_zh": "", "contact": "", "deadline": None,
               "repository": "", "student_repository": ""},
    "roster": {},
    "points": {"hidden_tests": 40, "set5_scores": 30, "psnr_ssim": 10, "report": 20},
    "limits": {"zip_mb": 50, "unpacked_mb": 300, "files": 500},
}

# What is handed in.  Sizes are (width, height) of HR, cut to a multiple of 4.
SET5 = {"baby": (512, 512), "bird": (288, 288), "butterfly": (256, 256), "head": (280, 280), "woman": (228, 344)}
TEST_SETS = ("Set5", "Set14", "B100", "Urban100", "valid")
NOTEBOOKS = ("train.ipynb", "test.ipynb", "super_resolution.ipynb")
CODE = ("models.py", "solver.py")               # what students write


class FactsError(ValueError):
    """course.toml cannot be used; the message says why."""


def read_facts(path="course.toml"):
    """The facts of the course as an EasyDict; what the file does not set has its default.

    Raises:
        FactsError: for a file that is not TOML, or has an entry of an unknown name or of the wrong type.
    """
    path = Path(path)
    facts = EasyDict({section: dict(values) for section, values in DEFAULTS.items()})
    if not path.exists():
        return facts
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FactsError(f"{path} is not a TOML file in UTF-8: {error}.") from error
    for section, values in found.items():
        if section not in DEFAULTS:
            raise FactsError(f"{path}: there is no section [{section}]; there are {', '.join(DEFAULTS)}.")
        for key, value in values.items():
            if section == "roster":
                facts.roster[str(key)] = str(value)
                continue
            if key not in DEFAULTS[section]:
                raise FactsError(f"{path}: [{section}] has no {key}; it has {', '.join(DEFAULTS[section])}.")
            kind = datetime if key == "deadline" else type(DEFAULTS[section][key])
            if not isinstance(value, kind) and not (kind is int and isinstance(value, float)):
                raise FactsError(f"{path}: {section}.{key} is {value!r}; it has to be a {kind.__name__}.")
            facts[section][key] = value
    if sum(facts.points.values()) != 100:
        raise FactsError(f"{path}: the points add up to {sum(facts.points.values())}, not 100.")
    return facts
