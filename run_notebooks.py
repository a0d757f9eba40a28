"""Run the notebooks from the first cell to the last, without a browser: the main job in one command.

    python run_notebooks.py                              the demo: data, training, tests, images
    python run_notebooks.py --preset laptop --data data  the same with your images
    python run_notebooks.py test super_resolution        only these notebooks
    python run_notebooks.py --set pretrain.epochs=2      with a change of the configuration
    python run_notebooks.py --help-settings              what can be changed

The executed notebooks are kept in runs/<name>/, next to everything else that the run leaves.
Exit status: 0 all is well, 1 a cell has failed (it is named), 2 the command was not understood, 130 stopped by
Ctrl-C, 143 by SIGTERM; a training that is stopped completes its update and saves, and the same command resumes it.
"""

import argparse
import asyncio
import logging
import os
import re
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from config import PRESETS, get_config
from support import provenance
from support.figures import method_title, read_benchmark, run_recipe, table
from support.messages import duration
from support.progress import StatusLine
from support.run import has_trained
from support.safeguards import STOP_SIGNALS, Stopped, exit_status
from support.setting_descriptions import SETTINGS
from support.setting_rules import check_settings
from support.settings import change
from support.settings_page import as_lines

### BEGIN SOLUTION
from config import SHIPPED_RUN
### END SOLUTION

NOTEBOOKS = ("train", "test", "super_resolution")
# Cells that a run inserts: their first line, and their tags (the first is papermill's).
PARAMETERS, CHANGES = "# Parameters of this run\n", "# Changes of this run\n"
INJECTED = {"injected-parameters", "injected-changes"}
COLOURS = r"\x1b\[[0-9;]*m"      # a traceback from a notebook is coloured for a terminal
HERE = Path(__file__).resolve().parent


class Runner(NotebookClient):
    """Runs the cells in a kernel of the same Python, and repeats their progress lines here.

    A signal that asks this process to stop is handed to the kernel, which a terminal's Ctrl-C does not reach.
    """

    def __init__(self, notebook, label):
        super().__init__(notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(HERE)}})
        self.line, self.label = StatusLine(), label
        self.stop, self.process = None, None        # the signal that has arrived; the kernel's process
        self.is_ready = False                       # for a cell
        self.log = logging.getLogger("nbclient.quiet")          # "Kernel died": said here in a sentence
        self.log.propagate = False
        self.log.addHandler(logging.NullHandler())

    def create_kernel_manager(self):
        manager = super().create_kernel_manager()
        # Another environment may have registered its own "python3".
        manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}",
                                    "--log-level=40"]
        return manager

    async def async_start_new_kernel(self, **kwargs):
        self.take_signals()              # nbclient has just taken them, to kill the kernel
        await super().async_start_new_kernel(**kwargs)
        self.process = getattr(self.km.provisioner, "process", None)

    async def async_execute_cell(self, cell, *arguments, **options):
        self.is_ready = True
        if self.stop:                    # it has arrived between two cells, or before the first
            raise RuntimeError("stopped between two cells")
        return await super().async_execute_cell(cell, *arguments, **options)

    def take_signals(self):
        """Have ``pass_on`` called for each signal that asks to stop."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            try:
                loop.add_signal_handler(number, self.pass_on, number)
            except NotImplementedError:                                  # Windows
                signal.signal(number, lambda n, _: loop.call_soon_threadsafe(self.pass_on, n))

    def pass_on(self, number):
        """Ask the kernel to stop: a training completes its update and saves."""
        self.stop = self.stop or number
        if self.is_ready and self.km is not None and self.km.has_kernel:      # one that starts could not answer
            by_interrupt = number != signal.SIGTERM or os.name == "nt"   # there SIGTERM would end it at once
            asyncio.ensure_future(self.km.interrupt_kernel() if by_interrupt else self.km.signal_kernel(number))

    def process_message(self, message, cell, cell_index):
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data") and content.get("transient", {}):
            text = content["data"].get("text/plain", "")
            if "image/png" not in content["data"]:
                self.line.show(f"{self.label}  {text}")
        return super().process_message(message, cell, cell_index)


def remove_injected(notebook):
    """Take out the cells that a former run has inserted and --store has kept: they would come after the new ones."""
    notebook.cells = [cell for cell in notebook.cells if not (
        set(cell.metadata.get("tags", [])) & INJECTED or cell.source.startswith((PARAMETERS, CHANGES)))]


def set_parameters(notebook, **values):
    """Insert values after the cell tagged "parameters", as papermill does."""
    index = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    source = PARAMETERS + "\n".join(f"{name} = {value!r}" for name, value in values.items())
    notebook.cells.insert(index + 1, nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]}))


def set_config(notebook, changes):
    """Insert lines such as ``config.batch_size = 8`` after the cell that makes ``config``."""
    index = next(i for i, cell in enumerate(notebook.cells) if "config = get_config(" in cell.source)
    source = CHANGES + "\n".join(f"config.{change}" for change in changes)
    notebook.cells.insert(index + 1, nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-changes"]}))


def run_notebook(name, folder, label="", changes=(), **parameters):
    """Execute <name>.ipynb; keep it in ``folder`` also when a cell fails.

    Args:
        changes: lines such as "batch_size = 8", for config.
        parameters: values for the notebook's parameters cell.

    Returns:
        the executed notebook.

    Raises:
        CellExecutionError: with the failing cell and its traceback.
    """
    notebook = nbformat.read(HERE / f"{name}.ipynb", as_version=4)
    remove_injected(notebook)
    if changes:
        set_config(notebook, changes)
    if parameters:
        set_parameters(notebook, **parameters)
    runner = Runner(notebook, label)
    started = time.perf_counter()
    try:
        runner.execute()
        runner.line.show(f"{label}  done in {duration(time.perf_counter() - started)}", last=True)
    except (CellExecutionError, DeadKernelError, RuntimeError) as error:
        if stop := signal_of(error, runner):
            raise Stopped(stop) from None
        raise
    finally:
        folder.mkdir(parents=True, exist_ok=True)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)      # time stamps of each cell: noise in every diff
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return notebook


def signal_of(error, runner):
    """The number of the signal that has ended a notebook; None if it was something else."""
    if runner.stop:
        return runner.stop
    if isinstance(error, CellExecutionError) and error.ename in ("KeyboardInterrupt", "Stopped"):
        return signal.SIGTERM if "SIGTERM" in error.evalue else signal.SIGINT      # sent to the kernel alone
    code = runner.process.poll() if isinstance(error, DeadKernelError) and runner.process else None
    return -code if code is not None and code < 0 else None


def stopped_sentences(stop, notebook, folder, command):
    """What was stopped, what is kept, and how to continue, as text; ``command``: the words after "python"."""
    name = signal.Signals(getattr(stop, "number", signal.SIGINT)).name
    by = {"SIGINT": "Ctrl-C", "SIGBREAK": "Ctrl-Break",
          "SIGKILL": "the signal SIGKILL (often the system's, when memory is full)"}.get(name, f"the signal {name}")
    kept = (f"What has been trained is saved in {folder / 'checkpoints'}. To resume there"
            if has_trained(HERE / folder) else "Nothing had been trained yet. To start again")
    return f"{notebook}.ipynb was stopped by {by}. {kept}: python {command.replace(' --fresh', '')}"


def sentence_of(error):
    """What an error without a traceback (SaysItAll) says, without the cell around it; "" for one with a traceback."""
    said = re.sub(COLOURS, "", str(error)).rsplit(18 * "-", 1)[-1].strip()
    return "" if re.search("Traceback|Cell In", said) else said


def results_table(path):
    """The means of benchmark.csv as a table: a row for each set, a column for each method."""
    recipe = run_recipe(Path(path).parent)
    means = read_benchmark(path)
    rows = [[name, str(n), *(f"{psnr:.2f} dB / {ssim:.4f}" for psnr, ssim in by_method.values())]
            for name, (n, by_method) in means.items()]
    methods = next(iter(means.values()))[1]
    return table(["set", "images", *(method_title(method, recipe) for method in methods)], rows)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK",
                        help=f"{', '.join(NOTEBOOKS)} (default: all three, in this order)")
    parser.add_argument("--preset", choices=list(PRESETS), default="demo")
    parser.add_argument("--data", help="folder of the lists, seen from this file's folder "
                                       "(default: data, for the demo data/demo)")
    parser.add_argument("--name", help="name of the run, kept in runs/<name>/ (default: the preset's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes",
                        help="change the configuration: --set batch_size=8 pretrain.epochs=2 content_loss=mse")
    parser.add_argument("--help-settings", action="store_true",
                        help="what --set can change: every setting, its value in this preset, and what it takes")
    parser.add_argument("--fresh", action="store_true", help="delete what runs/<name>/ holds and start again")
    parser.add_argument("--store", action="store_true", help="store the executed notebooks in the repository too")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.notebooks if name not in NOTEBOOKS]
    if unknown:
        parser.error(f"there is no notebook {unknown[0]!r}; choose from {', '.join(NOTEBOOKS)}")
    try:
        config = get_config(args.preset, name=args.name, seed=args.seed)
        changes = ["{} = {!r}".format(*change(config, text)) for text in args.changes]
        check_settings(config)
    except ValueError as error:
        parser.error(str(error))
    if args.help_settings:
        print(as_lines(SETTINGS, config))
        return 0
    name = config.name
    folder = HERE / "runs" / name
    if args.fresh and folder.exists():
        shutil.rmtree(folder)
    parameters = dict(preset=args.preset, data_folder=args.data or ("data/demo" if args.preset == "demo" else "data"),
                      run_name=name, seed=args.seed)
    # The notebooks' own values are those of the demo: stored, they show no injected cell.
    if not args.changes and parameters == dict(preset="demo", data_folder="data/demo", run_name="demo", seed=0):
        parameters = {}

    os.environ[provenance.COMMAND] = shlex.join(["run_notebooks.py", *(arguments or sys.argv[1:])])
    started = time.perf_counter()
    notebooks = args.notebooks or NOTEBOOKS
    try:
        for number, notebook in enumerate(notebooks, start=1):
            label = f"[{number}/{len(notebooks)}] {notebook}.ipynb"
            run_notebook(notebook, folder, label, changes, **parameters)
        for notebook in notebooks if args.store else ():       # all or none: stored, they show one run
            shutil.copyfile(folder / f"{notebook}.ipynb", HERE / f"{notebook}.ipynb")
    except KeyboardInterrupt as stop:
        relative = Path("runs", name)
        print(f"\n{stopped_sentences(stop, notebook, relative, os.environ[provenance.COMMAND])}", file=sys.stderr)
        return exit_status(stop)
    except CellExecutionError as error:
        if error.ename == "NotWritten":            # in the student edition: where their part begins
            print(f"\n{notebook}.ipynb came to a part that is not written yet. {error.evalue}. What it showed until "
                  f"then is in {folder / (notebook + '.ipynb')}.", file=sys.stderr)
            return 1
        if sentence := sentence_of(error):
            print(f"\n{notebook}.ipynb: {sentence}", file=sys.stderr)
            return 1
        print(f"\n{notebook}.ipynb stopped at this cell; what it showed until then is in "
              f"{folder / (notebook + '.ipynb')}.\n\n"
              f"{re.sub(COLOURS, '', str(error))}", file=sys.stderr)
        return 1
    relative = Path("runs", name)
    shown, origin = relative, ""
    ### BEGIN SOLUTION
    # Where nothing has been trained, the notebooks have shown the kit's own weights (inference.generators_of).
    if not has_trained(HERE / relative):
        shown = Path("runs", SHIPPED_RUN)
        origin = ", by the weights that come with the kit: nothing has been trained yet"
    ### END SOLUTION
    print()
    if (HERE / shown / "benchmark.csv").exists():
        print(f"PSNR (Y) / SSIM{origin}\n{results_table(HERE / shown / 'benchmark.csv')}\n")
    print(f"Images              {shown / 'results'}, contact sheets and plots in {shown / 'figures'}")
    print(f"Executed notebooks  {', '.join(str(relative / (notebook + '.ipynb')) for notebook in notebooks)}")
    print(f"Time                {duration(time.perf_counter() - started)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
