"""The cells of the course's own handout run on this code as they are."""

import math

import numpy as np
import pytest
import torch
import torch.nn as nn
import torchvision
from easydict import EasyDict
from PIL import Image

from datasets import SRDataset
from models import Discriminator, Generator, TruncatedVGG19
from solver import train
from support.convert import convert_image
from support.run import AverageMeter, adjust_learning_rate
from tests.helpers import photo, write_data, write_list


@pytest.fixture
def handout(tmp_path, monkeypatch):
    """The config cell: nothing but the keys of the handout, lists of bare file names."""
    write_data(tmp_path)
    lists = tmp_path / "lists"
    lists.mkdir()
    for split, names in (("train", ["cat", "cup", "face", "man"]), ("valid", ["rocket", "suit"])):
        write_list(lists, split, [(f"{name}.png", f"{name}x4.png") for name in names])

    torch.manual_seed(0)
    with torch.device("meta"):
        features = torchvision.models.vgg19().features[:9]
    features = features.to_empty(device="cpu")
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(features.state_dict(prefix="features."), folder / "vgg19-dcbb9e9d.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)

    config = EasyDict({
        "csv_folder": "lists", "HR_data_folder": "HR", "LR_data_folder": "LR",
        "crop_size": 24, "scaling_factor": 4,
        "G": {"large_kernel_size": 9, "small_kernel_size": 3, "n_channels": 4, "n_blocks": 2},
        "D": {"kernel_size": 3, "n_channels": 4, "n_blocks": 8, "fc_size": 16},
        "checkpoint": None, "batch_size": 100, "start_epoch": 0, "epochs": 2, "workers": 2,
        "vgg19_i": 2, "vgg19_j": 2, "beta": 1e-3, "print_freq": 2, "lr": 1e-4,
        "device": torch.device("cuda" if torch.cuda.is_available() else "cpu")})
    return config


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_the_training_notebook_of_the_handout_runs_unchanged(handout, capsys):
    config = handout
    device = config.device

    generator = Generator(config)
    optimizer_g = torch.optim.Adam(params=filter(lambda p: p.requires_grad, generator.parameters()), lr=config.lr)
    discriminator = Discriminator(config)
    optimizer_d = torch.optim.Adam(params=filter(lambda p: p.requires_grad, discriminator.parameters()), lr=config.lr)

    truncated_vgg19 = TruncatedVGG19(i=config.vgg19_i, j=config.vgg19_j)
    truncated_vgg19.eval()

    content_loss_criterion = nn.MSELoss()
    adversarial_loss_criterion = nn.BCEWithLogitsLoss()

    generator = generator.to(device)
    discriminator = discriminator.to(device)
    truncated_vgg19 = truncated_vgg19.to(device)
    content_loss_criterion = content_loss_criterion.to(device)
    adversarial_loss_criterion = adversarial_loss_criterion.to(device)

    train_dataset = SRDataset(split="train", config=config)
    train_loader = torch.utils.data.DataLoader(train_dataset, batch_size=config.batch_size, shuffle=True,
                                               num_workers=config.workers, pin_memory=True)
    assert len(train_dataset) == 400                      # 100 patches an image, as in the handout
    before = {name: p.detach().clone()
              for name, p in [*generator.named_parameters(), *discriminator.named_parameters()]}
    patches = []
    generator.register_forward_pre_hook(lambda _, inputs: patches.append(inputs[0].double().sum().item()))

    for epoch in range(config.start_epoch, config.epochs):
        if epoch == int((config.epochs / 2) + 1) - 1:
            adjust_learning_rate(optimizer_g, 0.1)
            adjust_learning_rate(optimizer_d, 0.1)

        train(train_loader=train_loader,
              generator=generator,
              discriminator=discriminator,
              truncated_vgg19=truncated_vgg19,
              content_loss_criterion=content_loss_criterion,
              adversarial_loss_criterion=adversarial_loss_criterion,
              optimizer_g=optimizer_g,
              optimizer_d=optimizer_d,
              epoch=epoch,
              device=device,
              beta=config.beta,
              print_freq=config.print_freq)

        torch.save({"epoch": epoch, "generator": generator.state_dict(), "discriminator": discriminator.state_dict(),
                    "optimizer_g": optimizer_g.state_dict(), "optimizer_d": optimizer_d.state_dict()},
                   "checkpoint_srgan.pth.tar")

    assert optimizer_g.param_groups[0]["lr"] == pytest.approx(1e-5)
    lines = [line for line in capsys.readouterr().out.splitlines() if "srgan epoch" in line]
    assert len(lines) == 4 and "epoch 2" in lines[-1] and "nan" not in "".join(lines)
    for p in [*generator.parameters(), *discriminator.parameters()]:
        assert torch.isfinite(p).all()
    assert not torch.equal(generator.last.weight, before["last.weight"])
    assert not torch.equal(discriminator.decide[-1].weight, before["decide.3.weight"])
    assert len(set(patches)) == 8                         # the second epoch has patches of its own

    # And on, as the handout does: a checkpoint of its own making, by torch.load.
    checkpoint = torch.load("checkpoint_srgan.pth.tar", weights_only=True)
    again = Generator(config)
    again.load_state_dict(checkpoint["generator"])
    assert checkpoint["epoch"] == 1 and torch.equal(again.last.weight, generator.last.weight.cpu())


def test_the_super_resolution_cells_of_the_handout_run_unchanged(handout):
    config = handout
    device = config.device
    model = Generator(config).to(device).eval()

    hr_img = Image.fromarray(photo("coffee.png", 100, 200, 48, 64))
    lr_img = hr_img.resize((hr_img.width // 4, hr_img.height // 4), Image.BICUBIC)
    bicubic_img = lr_img.resize((hr_img.width, hr_img.height), Image.BICUBIC)
    with torch.no_grad():
        sr_img = model(convert_image(lr_img, source="pil", target="[0, 1]").unsqueeze(0).to(device))
    sr_img = sr_img.squeeze(0).cpu().detach()
    sr_img = convert_image(sr_img, source="[-1, 1]", target="pil")
    assert sr_img.mode == "RGB" and sr_img.size == bicubic_img.size == (64, 48)


def test_the_evaluation_cells_of_the_handout_run_unchanged(handout):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity
    config = handout
    device = config.device
    model = Generator(config).to(device).eval()
    test_loader = torch.utils.data.DataLoader(SRDataset(split="valid", config=config), batch_size=1, shuffle=False,
                                              num_workers=config.workers)
    PSNRs, SSIMs = AverageMeter(), AverageMeter()
    with torch.no_grad():
        for lr_imgs, hr_imgs in test_loader:
            sr_imgs = model(lr_imgs.to(device))           # (1, 3, h, w) in [-1, 1]
            sr_imgs_y = convert_image(sr_imgs, source="[-1, 1]", target="y-channel").squeeze(0)
            hr_imgs_y = convert_image(hr_imgs.to(device), source="[0, 1]", target="y-channel").squeeze(0)
            assert sr_imgs_y.ndim == 2 and sr_imgs_y.shape == hr_imgs_y.shape
            psnr = peak_signal_noise_ratio(hr_imgs_y.cpu().numpy(), sr_imgs_y.cpu().numpy(), data_range=255.)
            ssim = structural_similarity(hr_imgs_y.cpu().numpy(), sr_imgs_y.cpu().numpy(), data_range=255.)
            PSNRs.update(psnr, lr_imgs.size(0))
            SSIMs.update(ssim, lr_imgs.size(0))
    assert PSNRs.count == 2 and 0 < PSNRs.avg < 40 and math.isfinite(SSIMs.avg)


def test_a_network_of_a_students_own_making_trains(handout):
    """Students write models.py: plain modules without trunk, tail or settings."""
    config = handout
    generator = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    discriminator = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.Flatten(), nn.LazyLinear(1))
    discriminator(torch.zeros(1, 3, 24, 24))
    loader = torch.utils.data.DataLoader(SRDataset("train", config), batch_size=100)
    meters = train(loader, generator, discriminator, None, nn.L1Loss(), nn.BCEWithLogitsLoss(),
                   torch.optim.Adam(generator.parameters()), torch.optim.Adam(discriminator.parameters()),
                   0, config.device, config.beta, 100)
    assert np.isfinite([meter.avg for meter in meters.values()]).all()
