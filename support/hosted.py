"""On a hosted notebook (Colab, Kaggle): what the first cell does once it has fetched the kit (no torch here)."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

SERVERS = {"jupyter", "jupyterlab"}         # the host has its own; another one would not get along with it


def prepare(on_colab):
    """Install what the host lacks, and say where things are kept; called in the kit's folder."""
    wanted = missing(Path("requirements.txt").read_text(encoding="utf-8"))
    if wanted:
        install(wanted)
    subprocess.run([sys.executable, "-m", "support.vgg16"], check=False)       # it says itself what is wrong
    data = "/content/data" if on_colab else "/kaggle/temp/data"
    print(f"The kit is in {Path.cwd()}. What you write and train stays there. Large data sets belong on the machine's "
          f'own disk: data_folder = "{data}".\n套件位于上述文件夹，你写的代码和训练结果都保存在那里；'
          f'大数据集请放在机器本地的硬盘上：data_folder = "{data}"。')
    if on_colab:
        print("Next time, open the notebooks there: they are then saved in place. Checkpoints that were replaced lie "
              "in the bin of your Drive, and count: empty it now and then. "
              "下次请直接打开该文件夹里的 notebook，这样修改会就地保存。"
              "被替换的检查点会进入云端硬盘的回收站并占用容量，请不时清空。")
    else:
        print('"Save Version" keeps it; with Persistence on in the settings, the next session finds it again. '
              "“Save Version” 会保存它；在设置中打开 Persistence 后，下次会话仍可使用。")


def missing(requirements):
    """The lines of a requirements.txt that are not met here: not installed, or too old."""
    lines = [line for line in requirements.splitlines() if line.strip() and not line.startswith("#")]
    return [line for line in lines if not _is_met(Requirement(line))]


def _is_met(requirement):
    if requirement.name in SERVERS or requirement.marker and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def install(lines):
    """Install packages into the Python of this kernel.

    Raises:
        RuntimeError: if pip fails; the message holds what it said last.
    """
    print(f"installing {', '.join(lines)}")
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *lines], capture_output=True, text=True,
                          encoding="utf-8", errors="replace")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"pip could not install {', '.join(lines)}: {' '.join(said)} Is the machine connected to "
                           "the internet (on Kaggle: a switch in the notebook's settings)? Then run this cell again.")
