"""What ``check`` prints for each rule, in English and Chinese: the rule, and how to fix what breaks it."""

from collections import namedtuple

Rule = namedtuple("Rule", "en zh fix_en fix_zh")

RULES = {
    "identity": Rule(
        "handin.toml names the student and the run",
        "handin.toml 已填写学号、姓名和运行名",
        "Fill in student_id, name and run in handin.toml.",
        "在 handin.toml 中填写 student_id、name 和 run。"),
    "files": Rule(
        "the required files are there",
        "必交文件齐全",
        "Put them next to handin.toml, under exactly these names.",
        "请把缺少的文件放在 handin.toml 所在的文件夹，文件名须完全一致。"),
    "executed": Rule(
        "the notebooks were run from the first cell to the last",
        "notebook 已从头到尾按顺序运行",
        "In Jupyter: Kernel > Restart Kernel and Run All Cells, then save; or run_notebooks.py with --store. "
        "A complete training is not repeated.",
        "在 Jupyter 中选择 Kernel > Restart Kernel and Run All Cells，然后保存；"
        "或运行 run_notebooks.py 并加上 --store。"
        "已完成的训练不会重跑。"),
    "errors": Rule(
        "no cell ended with an error",
        "没有报错的单元格",
        "Fix the cell, then restart the kernel and run all cells.",
        "修正该单元格，然后重启内核并运行全部单元格。"),
    "figures": Rule(
        "the notebooks keep their outputs and figures",
        "notebook 保留了输出和图像",
        "Run all cells and save, or run run_notebooks.py with --store; do not clear the outputs.",
        "运行全部单元格后保存，或运行 run_notebooks.py 并加上 --store；不要清除输出。"),
    "code": Rule(
        "the outputs belong to the code that is handed in",
        "输出与提交的代码一致",
        "If you have since changed more than names and comments, run the notebooks again. This is only a warning.",
        "如果之后改动的不只是命名和注释，请重新运行 notebook。这只是提醒。"),
    "pictures": Rule(
        "the five Set5 results are 8-bit RGB PNG files of the right sizes",
        "五张 Set5 结果均为尺寸正确的 8 位 RGB PNG",
        "Run super_resolution.ipynb with data_folder = 'data'; it writes them into runs/<run>/results/Set5.",
        "用 data_folder = 'data' 运行 super_resolution.ipynb，结果会写入 runs/<run>/results/Set5。"),
    "copies": Rule(
        "none of the results is a copy of HR, LR or bicubic interpolation",
        "结果不是 HR、LR 或双三次插值的副本",
        "Hand in the images that your network made; super_resolution.ipynb writes them.",
        "请提交网络生成的图像，由 super_resolution.ipynb 写出。"),
    "table": Rule(
        "test.ipynb shows your own scores on the five test sets",
        "test.ipynb 中有你自己在五个测试集上的结果",
        "Download the missing sets (python create_data_lists.py --download div2k benchmark) and run test.ipynb again, "
        "with data_folder = \"data\" and the run_name of your training.",
        "下载缺少的测试集（python create_data_lists.py --download div2k benchmark），"
        "再用 data_folder = \"data\" 和你训练时的 run_name 运行 test.ipynb。"),
    "report": Rule(
        "the report has its four parts",
        "报告包含规定的四个部分",
        "`python -m course report` writes a draft with all of them; the text is yours.",
        "`python -m course report` 会生成包含四个部分的草稿，文字由你来写。"),
    "declaration": Rule(
        "the declaration of borrowed code is filled in",
        "已填写引用代码声明",
        "It is the last cell of train.ipynb. \"None\" is an answer too.",
        "声明在 train.ipynb 的最后一个单元格；没有也请写“无”。"),
    "nothing_else": Rule(
        "it holds no models, data or caches, and is not too large",
        "不含模型、数据或缓存，大小不超限",
        "`python -m course pack` packs only what belongs to a hand-in.",
        "`python -m course pack` 只会打包应当提交的文件。"),
}
