"""What a stage leaves for people: the log, readings of the losses, the fixed crop over the epochs.

Also: which settings matter for its weights.
"""

import csv

from metrics import fullest_boxes, gradients
from support.enlarging import super_resolve
from support.files import save_image, write_csv
from support.run import stage_config

LOG_COLUMNS = ("stage", "epoch", "updates", "lr", "content", "adversarial", "discriminator", "d_real", "d_sr",
               "valid_psnr", "valid_ssim", "seconds")

# Settings that change nothing in the weights, or nothing in those of the pre-training.
WITHOUT_EFFECT = {"preset", "name", "pretrain", "workers", "print_freq", "checkpoint_every", "keep_every", "test_sets",
                  "measures", "store", "on_trouble", "exploding_gradient", "d_has_won_loss", "d_has_won_updates"}
SRGAN_ONLY = {"D", "d_shift", "freeze_tail", "lr_d", "content_loss", "vgg19_i", "vgg19_j", "vgg19_weights",
              "feature_scale", "beta"}
### BEGIN SOLUTION
SRGAN_ONLY |= {"discriminator", "pixel_weight", "feature_weight", "grid_weight"}
### END SOLUTION


def write_log(path, stage, history):
    """log.csv: a row for each epoch of all stages.

    Args:
        stage: the name of the stage whose rows come from ``history``, a list of dicts; the others' rows stay.
    """
    rows = []
    if path.exists():         # people edit it in spreadsheets: whatever is in it must not end a training
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("stage") not in (None, stage)]
    rows = sorted(rows + history, key=lambda row: row["stage"])
    write_csv(path, [LOG_COLUMNS, *([row.get(name, "") for name in LOG_COLUMNS] for row in rows)])


MOST_READINGS = 1000       # of a stage: more than a plot has pixels


def add_reading(readings, epoch, updates, meters):
    """Note how the losses stand, at the end of a list of a stage's readings.

    Args:
        updates: since the stage began.
        meters: dict name -> AverageMeter of this epoch.  Their sums are kept, so that any reading may be left out.
    """
    readings.append({"epoch": epoch, "updates": updates,
                     "meters": {name: [meter.sum, meter.count] for name, meter in meters.items()}})
    if len(readings) > MOST_READINGS:
        del readings[-2::-2]                                    # every second one; the newest stays


def losses_between(readings):
    """The mean losses from one reading to the next: a list of dicts "updates", name -> mean."""
    rows, former = [], {"epoch": None}
    for reading in readings:
        before = former["meters"] if former["epoch"] == reading["epoch"] else {}
        row = {"updates": reading["updates"]}
        for name, (total, count) in reading["meters"].items():
            total_before, count_before = before.get(name, (0, 0))
            row[name] = (total - total_before) / max(count - count_before, 1)
        rows.append(row)
        former = reading
    return rows


def save_sample(folder, name, model, valid_set):
    """Write <name>.png, lr.png, hr.png: the most detailed crop of the first validation image, upscaled by a model."""
    lr, hr = valid_set.pair(0)
    s, size = valid_set.scale, min(32, *lr.shape[:2])
    top, left = (place // s for place in fullest_boxes(gradients(hr), s * size, step=s)[0][:2])
    crop = lr[top:top + size, left:left + size]
    images = {"lr": crop, "hr": hr[s * top:s * (top + size), s * left:s * (left + size)],
              name: super_resolve(model, crop)}
    for stem, image in images.items():
        save_image(folder / f"{stem}.png", image)


def changed_settings(old, new, stage):
    """Which settings of a stage differ between two configurations and matter for its weights, as a list of phrases."""
    old, new = (stage_config(config, stage) for config in (old, new))
    without_effect = WITHOUT_EFFECT | (SRGAN_ONLY if stage == "pretrain" else set())
    return [f"{key} was {old.get(key)!r} and is {value!r}" for key, value in new.items()
            if key not in without_effect and old.get(key) != value]
