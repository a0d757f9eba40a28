"""The descriptions of settings as people read them: Markdown tables for docs/, lines for ``--help-settings``."""

from support.setting_descriptions import GROUPS, SETTINGS
from support.setting_kinds import Section, is_of_a_stage

ENGLISH, CHINESE = 0, 1
PAGES = "settings.md", "settings.zh-CN.md"           # in docs/
INTRODUCTION = ("""# All settings

What `config` holds: the meaning of each setting, the values that it takes, what the presets have, and where that comes from. The presets themselves, with comments, are in `config.py`. [中文](settings.zh-CN.md)

In a notebook: `config.batch_size = 8`, in the cell that makes `config`. On the command line: `--set batch_size=8 pretrain.lr=2e-4`; `python run_notebooks.py --help-settings` shows this list. A value that a setting does not take is refused with a sentence, and so are settings that do not fit together, before a run begins. `config.add(my_weight=0.1)` adds one of your own, which takes anything.

"Paper" is Ledig et al. 2017 (arXiv 1609.04802): the idea or the value is there; demo, laptop and course deviate from it where the table shows another value. "–": no value of its own, so that of the top level, or the network's default.

## SRGAN

""", """# 全部设置

`config` 中每一项设置的含义、取值范围、各预设的取值及其来源。预设本身（带注释）见 `config.py`。[English](settings.md)

在 notebook 中：在生成 `config` 的单元格里写 `config.batch_size = 8`。在命令行中：`--set batch_size=8 pretrain.lr=2e-4`；`python run_notebooks.py --help-settings` 列出同样的内容。写了不接受的值会立即报错，报错信息说明哪一项、允许什么；几项设置彼此冲突时，会在运行开始之前指出。`config.add(my_weight=0.1)` 可添加自己的设置，取值不限。

“论文”指 Ledig 等 2017（arXiv 1609.04802）：做法或取值出自论文；表中 demo、laptop、course 的取值不同之处，是本套件所作的调整。“–”表示没有自己的取值，沿用顶层的值或网络自身的默认值。

## SRGAN

""")  # noqa: E501  a paragraph is a line
HEADERS = (("setting", "meaning", "takes", "source"), ("设置", "含义", "取值", "来源"))
ALL_PRESETS = "all presets", "所有预设"
TITLE_OF_STAGE = "`{}`: what differs in this stage", "`{}`：该阶段的不同之处"


def core_page(configs, language=ENGLISH):
    """The page of the settings of config.py, in Markdown.

    Args:
        configs: dict preset -> configuration.
    """
    groups = {**GROUPS, **own_of_stages(SETTINGS, configs)}
    return f"{INTRODUCTION[language]}{tables(groups, configs, language)}\n"


def tables(groups, configs, language=ENGLISH):
    """A Markdown section with a table for each group of settings.

    Args:
        groups: dict (English title, Chinese title) -> dict name -> Setting.
        configs: dict preset -> configuration, whose values are the columns.
    """
    text = []
    for titles, described in groups.items():
        shown = {name: setting for name, setting in described.items() if not isinstance(setting.kind, Section)}
        if shown:
            text.append(f"### {titles[language]}\n\n{_table(shown, configs, language)}")
    return "\n\n".join(text)


def _table(described, configs, language):
    rows = {name: [shown_value(config, name, setting, language) for config in configs.values()]
            for name, setting in described.items()}
    # Where no preset differs, one column says it.
    presets = list(configs) if any(len(set(values)) > 1 for values in rows.values()) else [ALL_PRESETS[language]]
    setting, meaning, takes, source = HEADERS[language]
    header = [setting, meaning, takes, *presets, source]
    lines = []
    for name, values in rows.items():
        it = described[name]
        lines.append([f"`{name}`", (it.english, it.chinese)[language], it.kind.allowed()[language],
                      *values[:len(presets)], it.source[language]])
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [header, *lines]]
    return "\n".join([body[0], "|" + "---|" * len(header), *body[1:]])


def shown_value(config, name, setting, language=ENGLISH):
    """The value that a configuration has for a dotted name, as text."""
    if setting.default is not None:
        return setting.default[language]
    place = config
    for part in name.split("."):
        if not isinstance(place, dict) or part not in place:
            return "–"
        place = place[part]
    return f"{place:.6g}" if isinstance(place, float) else str(place)


def own_of_stages(described, configs):
    """What the stages of configurations have of their own: groups as ``tables`` takes them.

    Each stage's settings are described as those of the top level that they take the place of.
    """
    groups = {}
    for stage in dict.fromkeys(stage for config in configs.values() for stage in config.get("stages", ["pretrain"])):
        names = {name for config in configs.values() for name in config.get(stage, {})}
        own = {f"{stage}.{name}": setting for name, setting in described.items() if name in names}
        groups[tuple(title.format(stage) for title in TITLE_OF_STAGE)] = own
    return groups


def changed_from(described, former, configs):
    """The settings of the top level in which some configuration differs from ``former``: dict name -> Setting."""
    return {name: setting for name, setting in described.items() if setting.default is None
            and not isinstance(setting.kind, Section) and not is_of_a_stage(described, name)
            and any(shown_value(config, name, setting) != shown_value(former, name, setting)
                    for config in configs.values())}


def as_lines(described, config):
    """All settings of a configuration for a terminal: name and value, meaning, what it takes."""
    lines = []
    own = [setting for group in own_of_stages(described, {"": config}).values() for setting in group.items()]
    for name, setting in [*described.items(), *own]:
        if not isinstance(setting.kind, Section):
            value = shown_value(config, name, setting)
            lines += [f"{name} = {value}" if value != "–" else name,
                      f"    {setting.english}", f"    {setting.kind.allowed()[ENGLISH]}"]
    return "\n".join(lines)
