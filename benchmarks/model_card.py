"""Make weights to hand on from a run, with a model card: python -m benchmarks.model_card NAME --run runs/NAME ...

Writes weights/<NAME>.safetensors (float16) and its model card weights/<NAME>.md.  Recipe, time,
command and hashes come from the run folder (config.json, log.csv, provenance.json, the
checkpoint), the scores are measured here on the float16 file; images and machine are options.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch

import extensions  # noqa: F401  its networks register themselves
from config import get_config
from datasets import SRDataset
from imresize import imresize
from inference import load_generator
from support.checkpoints import METHODS, WEIGHTS, load_checkpoint, read_weights, save_generator
from support.enlarging import evaluate, mean_of, super_resolve
from support.figures import CORE_STAGES, read_log, stage_title, table
from support.files import write_atomically
from support.run import stage_config

LICENCE = ("Research and teaching. The code is under the MIT licence; the training images may be used for research "
           "only, and what was learnt from them is handed on under the same terms.")
SHOWN = {"srgan": "last"}      # the checkpoint that is handed on; of every other stage the best
STAGES = {"pretrain": "pre-training: the squared error of the pixels (equation 4 of the paper)",
          "srgan": "SRGAN: content loss and adversarial loss (equation 3 of the paper)"}
# What a stage begins with if its settings name no file; the others: "start = ...".
BEGINNINGS = {"srdiff": "the encoder that the same run has trained; start = {start}", "sr3": "random weights"}
LARGEST = 7e6        # bytes
TOLERANCE = 0.01     # dB that float16 may cost


def main(arguments=None, folder=WEIGHTS):
    """The command; it writes into ``folder``."""
    args = parse(arguments)
    source = args.run / "checkpoints" / f"{args.stage}_{SHOWN.get(args.stage, 'best')}.pth"
    path = folder / f"{args.name}.safetensors"
    generator = load_generator(source)
    exact = measure(generator, args.sets, args.data)
    facts = {**facts_of(args.run, args.stage, load_checkpoint(source)), "images": args.images, "lists": args.lists,
             "machine": args.machine, "note": args.note, "licence": LICENCE}
    save_generator(path, generator, None if args.float32 else torch.float16, **facts)
    shipped = load_generator(path)
    scores = exact if args.float32 else measure(shipped, args.sets, args.data)
    difference = max(abs(a[0] - b[0]) for a, b in zip(exact.values(), scores.values()))
    if difference > TOLERANCE or path.stat().st_size > LARGEST:
        raise SystemExit(f"{path}: float16 changes a score by {difference:.4f} dB (at most {TOLERANCE}), "
                         f"{path.stat().st_size / 1e6:.2f} MB (at most {LARGEST / 1e6:.0f}).")
    scores = {"bicubic": measure(None, args.sets, args.data), args.name: scores}
    if args.stage in ("pretrain", "a2n"):           # SRGAN's texture would be smoothed away
        scores[f"{args.name}, self-ensemble"] = measure(shipped, args.sets, args.data, self_ensemble=True)
    write_atomically(path.with_suffix(".md"), card(path, generator, facts, scores, difference).encode("utf-8"))
    print(path.with_suffix(".md").read_text(encoding="utf-8"))


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_card", description=__doc__.split("\n\n")[1])
    parser.add_argument("name", help="such as srresnet-x4")
    parser.add_argument("--run", type=Path, required=True, help="the run folder")
    parser.add_argument("--stage", choices=[*CORE_STAGES, *METHODS], required=True)
    parser.add_argument("--data", default="data", help="folder of the lists, to measure on")
    parser.add_argument("--sets", nargs="+", default=["Set5", "Set14", "valid"])
    parser.add_argument("--images", required=True, help="the images it was trained on, in words")
    parser.add_argument("--lists", required=True, help="the arguments of create_data_lists.py that made the lists")
    parser.add_argument("--machine", required=True, help="the machine it was trained on, in words")
    parser.add_argument("--note", default="", help="a sentence that stands first in the card")
    parser.add_argument("--float32", action="store_true", help="where float16 would change a score")
    return parser.parse_args(arguments)


def measure(generator, sets, data, **options):
    """{set: (psnr in dB, ssim)} of a generator; None: of bicubic interpolation."""
    config = get_config("course", data)

    def upscale(lr):
        return super_resolve(generator, lr, **options) if generator else imresize(lr, 4)
    return {name: mean_of(evaluate(upscale, SRDataset(name, config))) for name in sets}


def facts_of(run, stage, checkpoint):
    """What the run folder says about a training, as plain values."""
    config = checkpoint["config"]
    settings = stage_config(config, stage)
    rows = [row for row in read_log(run) if row["stage"] == stage]
    starts = [start for start in json.loads((run / "provenance.json").read_text(encoding="utf-8"))
              if start["stage"] == stage]
    recipe = {key: settings[key] for key in (
        "batch_size", "crop_size", "epochs", "lr", "lr_schedule", "warmup", "averaging")}
    if stage == "srgan":
        recipe.update({key: settings[key] for key in (
            "lr_d", "beta", "d_shift", "freeze_tail", "content_loss", "discriminator", "D")})
        if settings["content_loss"] != "mse":
            recipe.update({key: settings[key] for key in ("vgg19_i", "vgg19_j", "vgg19_weights", "feature_scale")})
        if settings["content_loss"] == "perceptual":
            recipe.update({key: settings[key] for key in ("pixel_weight", "feature_weight", "grid_weight")})
    begins_with = (settings.get("transfer") or settings.get("checkpoint")
                   or BEGINNINGS.get(stage, "start = {start}").format(start=settings["start"]))
    return {"stage": stage, "begins_with": begins_with, "recipe": recipe,
            "updates": int(rows[-1]["updates"]), "seconds": sum(float(row["seconds"]) for row in rows),
            "sittings": len(starts), "seed": config["seed"], "n_images": len(checkpoint["images"]["train"]),
            "data_sha256": starts[-1]["data_sha256"], "code_sha256": starts[-1]["code_sha256"],
            "command": starts[-1]["command"],
            "earlier": [command for command in dict.fromkeys(start["command"] for start in starts)
                        if command != starts[-1]["command"]],
            "versions": {key: starts[-1][key] for key in ("python", "torch", "numpy")}}


def card(path, generator, facts, scores, difference):
    """The model card, Markdown.

    Args:
        facts: what ``facts_of`` gives, and the options of the command.
        scores: {method: {set: (psnr in dB, ssim)}}.
        difference: what float16 changes of PSNR, at most, in dB.
    """
    program = "super_resolution.py" if facts["stage"] in STAGES else "-m extensions.super_resolution"
    measured = table(["PSNR (dB) / SSIM on Y, 4 pixels cut off", *next(iter(scores.values()))],
                     [[name, *(f"{psnr:.2f} / {ssim:.4f}" for psnr, ssim in by_set.values())]
                      for name, by_set in scores.items()])
    note = f"{facts['note']}\n\n" * bool(facts["note"])
    commands = [*facts["earlier"], facts["command"]]
    resumed = ("\nIt was stopped, and resumed with other settings: each line resumes what the one before it has left."
               * (len(commands) > 1))
    return f"""# {path.stem}

{note}{table(["", ""], rows_of(path, generator, facts, difference))}

## Scores

{measured}

`valid`: the held-out images by which the settings were chosen. The test sets were only measured.

## Use

```
python {program} photo.jpg --weights {path.stem}
```

or `utils.load_generator("{path.stem}")`. It has learnt to undo MATLAB's bicubic downscaling by 4 and nothing else:
noise, JPEG blocks and the blur of a camera are upscaled with the rest.

## Train it again

Put the images into the folder that the first line names. A GPU is used where torch finds one (not run yet).{resumed}

```
python create_data_lists.py {facts['lists']}
{chr(10).join(f"python {command}" for command in commands)}
```
"""


def rows_of(path, generator, facts, difference):
    """The card's first table: [what, value] a row."""
    settings = ", ".join(f"{key}={value}" for key, value in generator.settings.items())
    n = sum(parameter.numel() for parameter in generator.parameters())
    dtype = str(next(value.dtype for value in read_weights(path).values() if value.is_floating_point()))
    dtype = dtype.removeprefix("torch.")
    dtype += f" (float32 differs by at most {difference:.4f} dB)" * (dtype == "float16")
    return [
        ["network", f"`{type(generator).__name__}({settings})`, {n:,} parameters"],
        ["stage", STAGES.get(facts["stage"], stage_title(facts["stage"]))],
        ["begins with", facts["begins_with"]],
        ["images", f"{facts['images']} ({facts['n_images']} in the list `train`)"],
        ["recipe", ", ".join(f"{key} {value}" for key, value in facts["recipe"].items())],
        ["updates", f"{facts['updates']:,}"],
        ["time", f"{_duration(facts['seconds'])} of training in {facts['sittings']} "
                 f"{'sitting' if facts['sittings'] == 1 else 'sittings'}, {facts['machine']}"],
        ["seed", str(facts["seed"])],
        ["SHA-256 of the data", f"`{facts['data_sha256']}`"],
        ["SHA-256 of the code", f"`{facts['code_sha256']}`"],
        ["versions", ", ".join(f"{key} {value}" for key, value in facts["versions"].items())],
        ["file", f"{path.name}, {dtype}, {path.stat().st_size / 1e6:.2f} MB"],
        ["SHA-256 of the file", f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`"],
        ["licence", facts["licence"]]]


def _duration(seconds):
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


if __name__ == "__main__":
    main()
