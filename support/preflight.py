"""Before a training: all that it will need is here, is fetched now, or is missed now and not after an evening."""

import math
import os
import shutil
from pathlib import Path

import psutil
import torch
from torch.nn import functional

from support import presence, trackers
from support.checkpoints import CheckpointError, read_weights, weight_file
from support.figures import show_text
from support.image_store import ImageStore, decoded_bytes
from support.lists import DataError, list_path, read_list
from support.messages import megabytes
from support.networks import LayersMissing, upsampling_and_last
from support.run import run_folder, stage_config
from support.vgg16 import FeaturesMissing, is_installed, read_vgg16

# A page from which VGG19's file can be had too; its names are torchvision's.  The second one is for mainland China.
MIRRORS = ("https://huggingface.co/timm/vgg19.tv_in1k", "https://hf-mirror.com/timm/vgg19.tv_in1k")
VGG_BYTES = 4 * 296          # of VGG19's feature maps for each pixel of a crop: 296 channels at the full size
PROCESS_BYTES = 400e6        # Python, torch and its libraries


class NotReady(RuntimeError):
    """Something that the run will need is missing; the message, in both languages, says what and how to get it."""

    def _render_traceback_(self):
        """What IPython shows below the cell: the sentences alone."""
        return [str(self)]


def check(config, generator, discriminator, fetch_vgg19):
    """Check, or fetch, everything that a run will need; print what is worth knowing.

    Where the learned VGG16 is missing, the demo goes on with the pixel loss: content_loss of ``config`` is changed.

    Args:
        generator, discriminator: the classes of the networks, which take ``config``.
        fetch_vgg19: function that returns the path of VGG19's weights, fetched if need be.

    Raises:
        NotReady: with everything that is missing at once.
    """
    faults, notices = [], []
    other = presence.trainer_of(run_folder(config))
    if other and presence.on_this_machine(other):
        faults.append((f"{presence.sentence(other, run_folder(config))} Wait until it has ended, or choose another "
                       "run_name.", f"另一个进程（{other['pid']}）正在训练这个 run。请等它结束，或换一个 run_name。"))
    faults += device_faults(config)
    faults += list_faults(config)
    faults += feature_faults(config, notices, fetch_vgg19)
    faults += start_faults(config) + layer_faults(config, generator)
    sizes = [parameters_of(network, config) for network in (generator, discriminator)]
    faults += disk_faults(config, *sizes)
    faults += memory_faults(config, notices, *sizes)
    notices += missing_test_sets(config) + unused_card(config)
    for english, chinese in notices:
        show_text(f"**{english} {chinese}**")
    if faults:
        sentences = "\n".join(f"{number}. {english}\n   {chinese}" for number, (english, chinese)
                              in enumerate(faults, start=1))
        raise NotReady("This run cannot start: nothing has been trained yet, and no time is lost. "
                       f"现在还不能开始，尚未训练任何内容：\n{sentences}")


# ---------------------------------------------------------------- device

def device_faults(config):
    """A CUDA card that torch sees and cannot compute on: a list of (English, Chinese)."""
    if torch.device(config.device).type != "cuda":
        return []
    try:
        x = torch.ones(1, 3, 16, 16, device=config.device, requires_grad=True)
        y = functional.conv2d(x, torch.ones(8, 3, 3, 3, device=config.device), padding=1).mean()
        y.backward()
        if math.isfinite(y.item()):
            return []
        reason = f"a convolution of ones gave {y.item()}"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
    return [(f"torch cannot compute on {config.device} ({reason}). Restart the kernel; see with nvidia-smi whether "
             "another program fills the card; install the torch that fits the driver (the selector on pytorch.org); or "
             "set config.device = 'cpu', with the preset demo or laptop.",
             f"torch 无法在 {config.device} 上计算（原因见上）。请重启内核；用 nvidia-smi 看看显卡是否被其他"
             "程序占满；按驱动版本重装 torch（见 pytorch.org 的安装选择器）；或设 config.device = 'cpu'，"
             "并改用预设 demo 或 laptop。")]


def unused_card(config):
    """An NVIDIA card that torch does not see: a list of (English, Chinese)."""
    if torch.cuda.is_available() or not shutil.which("nvidia-smi"):
        return []
    return [("There is an NVIDIA driver here (nvidia-smi), but this torch finds no card: it is a build for CPUs, or "
             "too new for the driver. Training uses the CPU.",
             "本机装有 NVIDIA 驱动（nvidia-smi），但当前的 torch 找不到显卡：它可能是 CPU 版，或者对驱动来说太新。"
             "训练将使用 CPU。")]


# ---------------------------------------------------------------- data

def list_faults(config):
    """Lists that training needs and are not there, or are there and cannot be used: a list of (English, Chinese)."""
    faults = []
    for split in dict.fromkeys(["train", "valid", *config.test_sets]):
        path = list_path(config.csv_folder, split)
        if split not in ("train", "valid") and not path.exists():
            continue                                     # see missing_test_sets
        try:
            read_list(split, config)
        except DataError as error:
            faults.append((str(error), f"列表 {path} 不存在或无法使用，所需命令见上面的英文；"
                                       "下载慢或无法下载时，docs/data.zh-CN.md 列出了其他来源。"))
    return faults


def missing_test_sets(config):
    """Test sets that test.ipynb will not find: a list of (English, Chinese).  The demo has a set of its own."""
    missing = [name for name in config.test_sets
               if name != "valid" and not list_path(config.csv_folder, name).exists()]     # valid: see list_faults
    if not missing or config.get("preset") == "demo":
        return []
    command = f"python create_data_lists.py --root {config.csv_folder} --download benchmark"
    return [(f"Not here, and so not measured by test.ipynb later: {', '.join(missing)}. Training does not need them; "
             f"to fetch them meanwhile: {command}",
             f"缺少测试集：{'、'.join(missing)}。训练用不到，但之后 test.ipynb 就无法测量；"
             "可在训练时用上面的命令下载。")]


# ---------------------------------------------------------------- weights

def feature_faults(config, notices, fetch_vgg19):
    """Have the network of the content loss here: a list of (English, Chinese)."""
    if config.content_loss == "mse" or config.epochs == 0 or config.vgg19_weights == "random":
        return []
    try:
        if config.vgg19_weights == "imagenet":
            fetch_vgg19()
        elif config.vgg19_weights != "vgg16":
            read_weights(config.vgg19_weights)
        elif config.get("preset") == "demo" and not is_installed():
            config.content_loss = "mse"
            notices.append((
                "The learned VGG16 is not installed, so this demo trains with the pixel loss (SRGAN-MSE): its images "
                "are smoother. To install it (55 MB): `python -m support.vgg16`.",
                "未安装预训练的 VGG16，本演示改用像素损失（SRGAN-MSE），图像会更平滑。安装命令见上。"))
        else:
            read_vgg16()
    except FeaturesMissing as error:
        return [(str(error), "没有预训练的 VGG16。请运行 python -m support.vgg16 安装（55 MB，使用 pip 已设置的镜像）；"
                             "或设 config.content_loss = 'mse'，无需任何特征网络。")]
    except CheckpointError as error:
        return [(str(error), f"config.vgg19_weights 指定的文件 {config.vgg19_weights} 不存在或已损坏。")]
    except (RuntimeError, OSError) as error:
        return [(f"{error}\n   Mirrors: {' or '.join(MIRRORS)} (model.safetensors; name the file in "
                 "config.vgg19_weights).",
                 f"VGG19 的 ImageNet 权重下载失败。解决办法：1. 用镜像：python -m support.vgg19 --url 地址，"
                 f"或从 {MIRRORS[1]} 下载 model.safetensors，并把它的路径写入 config.vgg19_weights；"
                 "2. 在别的电脑上下载，再运行 python -m support.vgg19 --from 文件夹；"
                 "3. 改用较小的 VGG16：config.vgg19_weights = 'vgg16'，vgg19_i, vgg19_j = 5, 3"
                 "（python -m support.vgg16，55 MB）；4. config.content_loss = 'mse'，即论文的 SRGAN-MSE，无需 VGG；"
                 "5. config.vgg19_weights = 'random'，未经训练的滤波器，只供实验，不是论文的损失。")]
    return []


def start_faults(config):
    """Weights to start from, and the packages of config.tracker: a list of (English, Chinese)."""
    faults = []
    try:
        if config.checkpoint and not weight_file(config.checkpoint).is_file():
            raise CheckpointError(f"There is no weight file {config.checkpoint} (config.checkpoint).")
    except CheckpointError as error:
        faults.append((str(error), f"config.checkpoint = {config.checkpoint!r}：没有这个权重文件。"))
    try:
        trackers.trackers_of(config)
    except trackers.TrackerError as error:
        faults.append((str(error), "config.tracker 所需的软件包没有安装，或取值有误；设为 None 则不使用。"))
    return faults


def layer_faults(config, generator):
    """A generator whose layers config.freeze_tail cannot tell apart: a list of (English, Chinese)."""
    if not (config.freeze_tail and config.epochs):
        return []
    state = torch.get_rng_state()
    try:
        with torch.device("meta"):
            upsampling_and_last(generator(config))
    except LayersMissing as error:
        return [(str(error), "config.freeze_tail = True 需要知道生成器中哪些层负责放大、哪一层是最后一层："
                             "请按上面英文给出的名字命名，或设 config.freeze_tail = False。")]
    except Exception:                                                # the cell that makes it says why
        return []
    finally:
        torch.set_rng_state(state)
    return []


# ---------------------------------------------------------------- room

def parameters_of(network, config):
    """(parameters, bytes kept of feature maps for one crop) of a class of networks; nothing is computed.

    Zeros where it cannot be built: the cell that makes it says why.
    """
    kept, state = {}, torch.get_rng_state()
    side = config.crop_size // (config.scaling_factor if hasattr(network, "method") else 1)

    def keep(tensor):
        # By storage: a map that one layer leaves and the next one takes is kept once.  Private: the public data_ptr()
        # is 0 on the meta device.
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor
    try:
        with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            network = network(config)
            network(torch.empty(2, 3, side, side))                   # two: BatchNorm refuses one
    except Exception:                                                # also NotImplementedError: yours to write
        return 0, 0
    finally:
        torch.set_rng_state(state)
    weights = {weight.untyped_storage()._cdata for weight in network.parameters()}
    maps = [tensor for storage, tensor in kept.items() if storage not in weights]
    return (sum(weight.numel() for weight in network.parameters()),
            sum(tensor.numel() * tensor.element_size() for tensor in maps) // 2)


def disk_faults(config, generator, discriminator):
    """Disks without room for the image store and the checkpoints: a list of (English, Chinese)."""
    needed = {}
    for folder, n_bytes in ((store_folder(config), store_bytes(config)),
                            (run_folder(config), checkpoint_bytes(config, generator[0], discriminator[0]))):
        if folder is not None and n_bytes > 0:
            place = next(path for path in (Path(folder).resolve(), *Path(folder).resolve().parents) if path.exists())
            place, former = needed.get(os.stat(place).st_dev, (place, 0))
            needed[os.stat(place).st_dev] = place, former + n_bytes
    faults = []
    for place, n_bytes in needed.values():
        usage = shutil.disk_usage(place)
        if usage.total and n_bytes > usage.free:         # some network folders report 0 of 0
            faults.append((
                f"This run will write about {megabytes(n_bytes)} to the disk of {place} (decoded images and "
                f"checkpoints), and {megabytes(usage.free)} are free. Free some space; set config.store to a folder on "
                "another disk (None: in memory); or keep fewer checkpoints (config.keep_every = 0).",
                f"本次运行约需向 {place} 所在磁盘写入 {megabytes(n_bytes)}（解码后的图像和检查点），目前只剩 "
                f"{megabytes(usage.free)}。请清理空间；或把 config.store 设到另一块磁盘（None 表示放在内存里）；"
                "或少保留检查点（config.keep_every = 0）。"))
    return faults


def store_folder(config):
    return config.get("store", Path(config.csv_folder, ".store"))


def store_bytes(config):
    """Bytes of the images that are not decoded yet."""
    store, paths = ImageStore(store_folder(config)), set()
    for split in dict.fromkeys(["train", "valid", *config.test_sets]):
        try:
            paths |= {path for pair in read_list(split, config) for path in (pair.hr, pair.lr)}
        except DataError:
            continue                                     # list_faults says so
    return sum(map(decoded_bytes, store.missing(sorted(paths))))


def checkpoint_bytes(config, generator, discriminator):
    """Bytes that the checkpoints of both stages will take, less what is there already.

    A checkpoint holds the generator, its average and Adam's two moments; the discriminator and its moments.  There are
    three of a stage (last, previous, best), and one more while it is written.
    """
    total = 0
    for stage, size in (("pretrain", 4 * generator), ("srgan", 4 * generator + 3 * discriminator)):
        settings = stage_config(config, stage)
        if settings.epochs:
            kept = settings.epochs // settings.keep_every if settings.keep_every else 0
            total += 4 * (4 * size + kept * generator)
    there = sum(path.stat().st_size for path in (run_folder(config) / "checkpoints").glob("*"))
    return total - there


def memory_faults(config, notices, generator, discriminator):
    """Batches that do not fit into the device's memory, by what must be kept of them: a list of (English, Chinese)."""
    device = torch.device(config.device)
    needed = memory_bytes(config, generator, discriminator)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            return []                                    # device_faults says so
        free = torch.cuda.mem_get_info(device)[0]
    else:
        needed, free = needed + PROCESS_BYTES, psutil.virtual_memory().available
    if needed <= free:
        return []
    size = max(1, int(config.batch_size * free / needed))
    told = (f"Batches of {config.batch_size} crops of {config.crop_size} pixels need about {megabytes(needed)} of "
            f"memory, and {megabytes(free)} are free on {device}. Close other programs, or try config.batch_size = "
            f"{size}.", f"每批 {config.batch_size} 个 {config.crop_size} 像素的图像块约需 {megabytes(needed)} 内存，"
            f"而 {device} 上只剩 {megabytes(free)}。请关闭其他程序，或设 config.batch_size = {size}。")
    if device.type == "cuda":
        return [told]
    notices.append(told)                                 # a system can swap
    return []


def memory_bytes(config, generator, discriminator):
    """Bytes that an update of SRGAN keeps at least: weights, moments, gradients, feature maps."""
    maps = generator[1] + (discriminator[1] if config.epochs else 0)
    if config.content_loss != "mse" and config.epochs:
        maps += VGG_BYTES * config.crop_size ** 2
    images = store_bytes(config) if store_folder(config) is None else 0
    share = 0.5 if config.amp and torch.device(config.device).type == "cuda" else 1         # 16 bits
    return int(4 * (5 * generator[0] + 4 * discriminator[0]) + share * config.batch_size * maps) + images
