"""The tables of all settings, docs/settings.md and its Chinese twin: python -m benchmarks.settings --write

Without --write the English page is printed.  The descriptions are those of support/setting_descriptions.py and
extensions/setting_descriptions.py, the values those of the presets.
"""

import argparse
from pathlib import Path

from config import PRESETS, get_config
from extensions.setting_descriptions import ANY_METHOD, DESCRIBED, OWN
from extensions.train import METHODS, extension_config
from support.files import write_atomically
from support.settings_page import CHINESE, ENGLISH, PAGES, changed_from, core_page, own_of_stages, tables

ROOT = Path(__file__).resolve().parents[1]
TITLES = {"a2n": "A2N", "srdiff": "SRDiff", "sr3": "SR3"}
OWN_GROUP = "Its own settings", "自己的设置"
CHANGED_GROUP = "Where its presets differ from `course`", "各预设与 `course` 不同之处"
INTRODUCTION = ("{} takes all settings above, too: `python -m extensions {} --help-settings`.",
                "{} 也接受上面的全部设置：`python -m extensions {} --help-settings`。")


def page(language):
    """The whole page, in Markdown."""
    text = core_page({preset: get_config(preset) for preset in PRESETS}, language)
    for method, module in METHODS.items():
        configs = {preset: extension_config(method, preset) for preset in module.PRESETS}
        described = DESCRIBED[method]
        groups = {OWN_GROUP: {**ANY_METHOD, **OWN[method]}, **own_of_stages(described, configs),
                  CHANGED_GROUP: {name: setting for name, setting in changed_from(
                      described, get_config("course"), configs).items() if name not in {**ANY_METHOD, **OWN[method]}}}
        text += (f"\n## {TITLES[method]}\n\n{INTRODUCTION[language].format(TITLES[method], method)}\n\n"
                 f"{tables(groups, configs, language)}\n")
    return text


def main(arguments=None, folder=ROOT / "docs"):
    """The command; ``folder``: where --write writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.settings", description=__doc__.split("\n\n")[0])
    parser.add_argument("--write", action="store_true", help="write both pages")
    args = parser.parse_args(arguments)
    if not args.write:
        print(page(ENGLISH))
        return
    for name, language in zip(PAGES, (ENGLISH, CHINESE)):
        write_atomically(Path(folder, name), page(language).encode("utf-8"))


if __name__ == "__main__":
    main()
