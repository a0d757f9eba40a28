"""Hand-ins that are right, each in a way of its own, and hand-ins that are wrong in one place each.

Plain code in four parts.  A variant changes one part (or gives a new one) by replacing lines of it.
"""

HEAD = "import math\nimport torch\nfrom torch import nn\nfrom torch.nn import functional as F\n\n"

PARTS = {
    "generator": """
class ResidualBlock(nn.Module):
    def __init__(self, c, k):
        super().__init__()
        self.conv1 = nn.Conv2d(c, c, k, padding=k // 2)
        self.bn1 = nn.BatchNorm2d(c)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(c, c, k, padding=k // 2)
        self.bn2 = nn.BatchNorm2d(c)

    def forward(self, x):
        return x + self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))


class Generator(nn.Module):
    def __init__(self, large_kernel_size=9, small_kernel_size=3, n_channels=64, n_blocks=16, scaling_factor=4):
        super().__init__()
        if hasattr(large_kernel_size, "G"):
            return self.__init__(**large_kernel_size.G, scaling_factor=large_kernel_size.scaling_factor)
        c, k = n_channels, small_kernel_size
        self.first = nn.Conv2d(3, c, large_kernel_size, padding=large_kernel_size // 2)
        self.first_act = nn.PReLU()
        self.blocks = nn.Sequential(*[ResidualBlock(c, k) for _ in range(n_blocks)])
        self.after = nn.Conv2d(c, c, k, padding=k // 2)
        self.after_bn = nn.BatchNorm2d(c)
        up = []
        for _ in range(int(math.log2(scaling_factor))):
            up += [nn.Conv2d(c, 4 * c, k, padding=k // 2), nn.PixelShuffle(2), nn.PReLU()]
        self.up = nn.Sequential(*up)
        self.last = nn.Conv2d(c, 3, large_kernel_size, padding=large_kernel_size // 2)

    def forward(self, lr):
        first = self.first_act(self.first(lr))
        x = first + self.after_bn(self.after(self.blocks(first)))
        return self.last(self.up(x))
""",
    "discriminator": """
class Discriminator(nn.Module):
    def __init__(self, kernel_size=3, n_channels=64, n_blocks=8, fc_size=1024):
        super().__init__()
        if hasattr(kernel_size, "D"):
            return self.__init__(**kernel_size.D)
        layers, c_in = [], 3
        for i in range(n_blocks):
            c_out = n_channels * 2 ** (i // 2)
            layers.append(nn.Conv2d(c_in, c_out, kernel_size, stride=1 + i % 2, padding=kernel_size // 2))
            if i > 0:
                layers.append(nn.BatchNorm2d(c_out))
            layers.append(nn.LeakyReLU(0.2))
            c_in = c_out
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.fc1 = nn.Linear(c_in * 36, fc_size)
        self.fc2 = nn.Linear(fc_size, 1)

    def forward(self, x):
        x = torch.flatten(self.pool(self.layers(x)), 1)
        return self.fc2(F.leaky_relu(self.fc1(x), 0.2))
""",
    "vgg": """
class TruncatedVGG19(nn.Module):
    def __init__(self, i, j, weights="imagenet"):
        super().__init__()
        from torchvision.models import vgg19
        layers, pools, convolutions = [], 0, 0
        for layer in vgg19(weights="DEFAULT").features:
            layers.append(layer)
            pools, convolutions = pools + isinstance(layer, nn.MaxPool2d), convolutions + isinstance(layer, nn.Conv2d)
            if isinstance(layer, nn.MaxPool2d):
                convolutions = 0
            if pools == i - 1 and convolutions == j and isinstance(layer, nn.ReLU):
                break
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, images):
        return self.features((images - self.mean) / self.std)
""",
    "solver": """
def pretrain(train_loader, generator, content_loss_criterion, optimizer_g, epoch, device, print_freq):
    generator.train()
    for lr, hr in train_loader:
        lr, hr = lr.to(device), 2 * hr.to(device) - 1
        sr = generator(lr)
        loss = content_loss_criterion(sr, hr)
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()


def train(train_loader, generator, discriminator, truncated_vgg19, content_loss_criterion,
          adversarial_loss_criterion, optimizer_g, optimizer_d, epoch, device, beta, print_freq):
    generator.train()
    discriminator.train()
    for i, (lr, hr) in enumerate(train_loader):
        lr, hr = lr.to(device), hr.to(device)
        hr = 2 * hr - 1
        sr = generator(lr)
        sr_features = truncated_vgg19((sr + 1) / 2)
        hr_features = truncated_vgg19((hr + 1) / 2).detach()
        content = content_loss_criterion(sr_features, hr_features)
        judged = discriminator(sr)
        adversarial = adversarial_loss_criterion(judged, torch.ones_like(judged))
        loss = content + beta * adversarial
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()

        real = discriminator(hr)
        fake = discriminator(sr.detach())
        loss_d = (adversarial_loss_criterion(real, torch.ones_like(real))
                  + adversarial_loss_criterion(fake, torch.zeros_like(fake)))
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
""",
}

# What an older handout of this course asked for: no beta, device and print_freq in the call, batches that are ready.
OLD_TRAIN = """
beta, device, print_freq = 1e-3, torch.device("cpu"), 100
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def train(train_loader, generator, discriminator, truncated_vgg19, content_loss_criterion,
          adversarial_loss_criterion, optimizer_g, optimizer_d, epoch):
    for i, (lr, hr) in enumerate(train_loader):
        sr = generator(lr)
        sr_in_vgg_space, hr_in_vgg_space = (((x + 1) / 2 - MEAN) / STD for x in (sr, hr))
        content = content_loss_criterion(truncated_vgg19(sr_in_vgg_space), truncated_vgg19(hr_in_vgg_space).detach())
        judged = discriminator(sr)
        loss = content + BETA() * adversarial_loss_criterion(judged, torch.ones_like(judged))
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()
        real, fake = discriminator(hr), discriminator(sr.detach())
        loss_d = (adversarial_loss_criterion(fake, torch.zeros_like(fake))
                  + adversarial_loss_criterion(real, torch.ones_like(real)))
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
""".replace("BETA()", "beta")

FUNCTIONAL_PRELU = {
    "self.act = nn.PReLU()": "self.slope = nn.Parameter(torch.full((1,), 0.25))",
    "self.act(self.bn1(self.conv1(x)))": "F.prelu(self.bn1(self.conv1(x)), self.slope)",
}
CONFIG_ONLY = {
    """large_kernel_size=9, small_kernel_size=3, n_channels=64, n_blocks=16, scaling_factor=4):
        super().__init__()
        if hasattr(large_kernel_size, "G"):
            return self.__init__(**large_kernel_size.G, scaling_factor=large_kernel_size.scaling_factor)
""": """config):
        super().__init__()
        g, scaling_factor = config.G, config.scaling_factor
        large_kernel_size, small_kernel_size = g.large_kernel_size, g.small_kernel_size
        n_channels, n_blocks = g.n_channels, g.n_blocks
"""
}
D_CONFIG_ONLY = {
    """kernel_size=3, n_channels=64, n_blocks=8, fc_size=1024):
        super().__init__()
        if hasattr(kernel_size, "D"):
            return self.__init__(**kernel_size.D)
""": """config):
        super().__init__()
        kernel_size, n_channels, n_blocks, fc_size = (
            config.D[name] for name in ("kernel_size", "n_channels", "n_blocks", "fc_size"))
"""
}
CLONED_BLOCKS = {
    "self.blocks(first)": "self.through(first)",
    "    def forward(self, lr):": """    def through(self, x):
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, lr):""",
    "nn.Sequential(*[ResidualBlock(c, k) for _ in "
    "range(n_blocks)])": "nn.ModuleList([ResidualBlock(c, k) for _ in range(n_blocks)])",
}
SMALLER = "adversarial_loss_criterion(real, torch.ones_like(real))"

# name -> (part, what to replace; notes are words that a note must have, where one is due)
RIGHT = {
    "plain layers, a bias everywhere": ("generator", {}, "parameters"),
    "no bias before BatchNorm": (
        "generator",
        {
            "padding=k // 2)\n        self.bn": "padding=k // 2, bias=False)\n        self.bn",
            "self.after = nn.Conv2d(c, c, k, "
            "padding=k // 2)": "self.after = nn.Conv2d(c, c, k, padding=k // 2, bias=False)",
        },
        "",
    ),
    "a slope for each channel": ("generator", {"nn.PReLU()": "nn.PReLU(c)"}, "parameters"),
    "PReLU as a function": ("generator", FUNCTIONAL_PRELU, "parameters"),
    "PReLU before the shuffle": ("generator", {"nn.PixelShuffle(2), nn.PReLU()": "nn.PReLU(), nn.PixelShuffle(2)"}, ""),
    "one PReLU for the whole network": (
        "generator",
        {
            "self.act = nn.PReLU()": "self.act = SHARED",
            "\nclass ResidualBlock": "\nSHARED = nn.PReLU()\n\n\nclass ResidualBlock",
        },
        "",
    ),
    "a config only, as the older handout": ("generator", CONFIG_ONLY, ""),
    "layers defined from the last to the first": (
        "generator",
        {
            "        self.first_act = nn.PReLU()\n": "",
            "        c, k = n_channels": "        self.first_act = nn.PReLU()\n        c, k = n_channels",
        },
        "",
    ),
    "blocks in a ModuleList": ("generator", CLONED_BLOCKS, ""),
    "tanh at the end": (
        "generator",
        {"return self.last(self.up(x))": "return torch.tanh(self.last(self.up(x)))"},
        "tanh",
    ),
    "a range of its own": (
        "generator",
        {"return self.last(self.up(x))": "return torch.sigmoid(self.last(self.up(x)))"},
        "sigmoid",
    ),
    "mirrored edges": (
        "generator",
        {
            "self.conv2 = nn.Conv2d(c, c, k, "
            "padding=k // 2)": "self.conv2 = nn.Conv2d(c, c, k, padding=k // 2, padding_mode='reflect')"
        },
        "",
    ),
    "one shuffle by four": (
        "generator",
        {
            "for _ in range(int(math.log2(scaling_factor))):": "for _ in range(1):",
            "nn.Conv2d(c, 4 * c, k, padding=k // 2), "
            "nn.PixelShuffle(2)": "nn.Conv2d(c, scaling_factor**2 * c, k, padding=k // 2), "
                                  "nn.PixelShuffle(scaling_factor)",
        },
        "",
    ),
    "lazy convolutions": ("generator", {"self.after = nn.Conv2d(c, c,": "self.after = nn.LazyConv2d(c,"}, ""),
    "plain discriminator": ("discriminator", {}, ""),
    "LeakyReLU as a function": (
        "discriminator",
        {
            "            layers.append(nn.LeakyReLU(0.2))\n": "            layers.append(Leak())\n",
            "\nclass Disc": "\nclass Leak(nn.Module):\n    def forward(self, x):\n        return "
                            "F.leaky_relu(x, 0.2)\n\n\nclass Disc",
        },
        "",
    ),
    "LeakyReLU in place": ("discriminator", {"nn.LeakyReLU(0.2)": "nn.LeakyReLU(0.2, inplace=True)"}, ""),
    "no pooling, 96 x 96 only": ("discriminator", {"nn.AdaptiveAvgPool2d(6)": "nn.Identity()"}, "96 x 96 only"),
    "LazyLinear": ("discriminator", {"nn.Linear(c_in * 36, fc_size)": "nn.LazyLinear(fc_size)"}, ""),
    "a vector of logits": (
        "discriminator",
        {
            "return self.fc2(F.leaky_relu(self.fc1(x), 0.2))": "return self.fc2(F.leaky_relu(self.fc1(x), "
                                                               "0.2)).squeeze(1)"
        },
        "",
    ),
    "its own config only": ("discriminator", D_CONFIG_ONLY, ""),
    "plain VGG19 over torchvision": ("vgg", {}, ""),
    "VGG19 without a weights argument": ("vgg", {', weights="imagenet"': ""}, ""),
    "VGG19 as older torchvision wants it": ("vgg", {'weights="DEFAULT"': "pretrained=True"}, ""),
    "VGG19 that is not frozen, and in no optimizer": ("vgg", {"        self.requires_grad_(False)\n": ""}, "trainable"),
    "plain training": ("solver", {}, ""),
    "a little L1 besides, as ESRGAN": (
        "solver",
        {"loss = content +": "loss = content + 0.01 * F.l1_loss(sr, hr) +"},
        "",
    ),
    "features times 1 / 12.75, as the paper": (
        "solver",
        {
            "content_loss_criterion(sr_features, "
            "hr_features)": "content_loss_criterion(sr_features / 12.75, hr_features / 12.75)"
        },
        "",
    ),
    "an adversarial weight that warms up": (
        "solver",
        {"loss = content + beta": "loss = content + min(1, epoch / 5) * beta"},
        "",
    ),
    "the generator every second batch": (
        "solver",
        {
            "        optimizer_g.step()\n\n        real": "        if i % 2 == 1:\n"
            "            optimizer_g.step()\n\n        real"
        },
        "",
    ),
    "the discriminator first": ("solver", "D_FIRST", ""),
    "no detach, where the gradient is dropped": (
        "solver",
        {
            "loss.backward()\n        optimizer_g.step()\n\n        real": "loss.backward(retain_graph=True)\n"
            "        optimizer_g.step()\n\n        sr = generator(lr)\n        real",
            "sr.detach()": "sr",
        },
        "",
    ),
    "smooth labels": ("solver", {SMALLER: "adversarial_loss_criterion(real, 0.9 * torch.ones_like(real))"}, ""),
    "labels swapped in both losses": (
        "solver",
        {
            "(judged, torch.ones_like(judged))": "(judged, torch.zeros_like(judged))",
            "(real, torch.ones_like(real))": "(real, torch.zeros_like(real))",
            "(fake, torch.zeros_like(fake))": "(fake, torch.ones_like(fake))",
        },
        "other way round",
    ),
    "one pass through VGG for both": (
        "solver",
        {
            "        sr_features = truncated_vgg19((sr + 1) / 2)\n        hr_features = truncated_vgg19((hr + "
            "1) / 2).detach()\n": "        sr_features, hr_features = truncated_vgg19((torch.cat([sr, hr]) + "
                                  "1) / 2).chunk(2)\n"
        },
        "",
    ),
    "a relativistic discriminator": (
        "solver",
        {
            "judged = discriminator(sr)": "judged = discriminator(sr) - discriminator(hr).detach().mean()",
            "adversarial_loss_criterion(real, ": "adversarial_loss_criterion(real - fake.mean(), ",
            "adversarial_loss_criterion(fake, ": "adversarial_loss_criterion(fake - real.mean(), ",
        },
        "",
    ),
    "pre-training by L1": ("solver", {"loss = content_loss_criterion(sr, hr)": "loss = F.l1_loss(sr, hr)"}, ""),
    "HR in [-1, 1], as the older handout": (
        "solver",
        {"        hr = 2 * hr - 1\n": "", "2 * hr.to(device) - 1": "hr.to(device)"},
        "older handout",
    ),
    "the older handout's train": ("solver", "OLD", "older handout"),
    "SR in [0, 1]": (
        "solver",
        {
            "        hr = 2 * hr - 1\n": "",
            "2 * hr.to(device) - 1": "hr.to(device)",
            "(sr + 1) / 2": "sr",
            "(hr + 1) / 2": "hr",
        },
        "",
    ),
}

# name -> (part, what to replace, the questions that are lost)
WRONG = {
    "no long skip": ("generator", {"x = first + self": "x = self"}, {"generator_long_skip"}),
    "no residual skips": ("generator", {"return x + self.bn2": "return self.bn2"}, {"generator_residual_skips"}),
    "neither": (
        "generator",
        {"x = first + self": "x = self", "return x + self.bn2": "return self.bn2"},
        {"generator_long_skip", "generator_residual_skips"},
    ),
    "ReLU": ("generator", {"nn.PReLU()": "nn.ReLU()"}, {"generator_prelu"}),
    "LeakyReLU": ("generator", {"nn.PReLU()": "nn.LeakyReLU(0.25)"}, {"generator_prelu"}),
    "no activation in the blocks": (
        "generator",
        {"self.act(self.bn1(self.conv1(x)))": "self.bn1(self.conv1(x))", "        self.act = nn.PReLU()\n": ""},
        {"generator_prelu"},
    ),
    "nearest and a convolution": (
        "generator",
        {
            "nn.Conv2d(c, 4 * c, k, padding=k // 2), "
            "nn.PixelShuffle(2)": "nn.Upsample(scale_factor=2), nn.Conv2d(c, c, k, padding=k // 2)"
        },
        {"generator_subpixel"},
    ),
    "transposed convolution": (
        "generator",
        {"nn.Conv2d(c, 4 * c, k, padding=k // 2), nn.PixelShuffle(2)": "nn.ConvTranspose2d(c, c, 4, 2, 1)"},
        {"generator_subpixel"},
    ),
    "BatchNorm before the convolutions": (
        "generator",
        {
            "self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))":
            "self.conv2(self.act(self.bn2(self.conv1(self.bn1(x)))))",
        },
        {"generator_norm_order"},
    ),
    "no BatchNorm": ("generator", {"nn.BatchNorm2d(c)": "nn.Identity()"}, {"generator_layers"}),
    "one convolution a block": (
        "generator",
        {
            "self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))": "self.act(self.bn1(self.conv1(x)))",
            "        self.conv2 = nn.Conv2d(c, c, k, padding=k // 2)\n        self.bn2 = nn.BatchNorm2d(c)\n": "",
        },
        {"generator_layers", "generator_settings"},
    ),
    "an activation behind the sum": (
        "generator",
        {
            "return x + "
            "self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))": "return self.act(x + "
                                                                       "self.bn2(self.conv2(self.act(self.bn1(self.conv1(x))))))"
        },
        {"generator_residual_skips"},
    ),
    "n_blocks without effect": ("generator", {"range(n_blocks)": "range(4)"}, {"generator_settings"}),
    "n_channels without effect": ("generator", {"c, k = n_channels,": "c, k = 8,"}, {"generator_settings"}),
    "clamped": (
        "generator",
        {"return self.last(self.up(x))": "return self.last(self.up(x)).clamp(-1, 1)"},
        {"generator_end"},
    ),
    "statistics of the batch in eval mode": (
        "generator",
        {"nn.BatchNorm2d(c)": "nn.BatchNorm2d(c, track_running_stats=False)"},
        {"generator_in_eval_mode", "generator_is_convolutional"},
    ),
    "twice as large only": (
        "generator",
        {"int(math.log2(scaling_factor))": "1"},
        {"generator_shapes", "generator_subpixel"},
    ),
    "no gradient in the trunk": ("generator", {"self.up(x))": "self.up(x.detach()))"}, {"generator_gradients"}),
    "a sigmoid": (
        "discriminator",
        {
            "return self.fc2(F.leaky_relu(self.fc1(x), 0.2))":
            "return torch.sigmoid(self.fc2(F.leaky_relu(self.fc1(x), 0.2)))"
        },
        {"discriminator_logits"},
    ),
    "D without BatchNorm": ("discriminator", {"if i > 0:": "if False:"}, {"discriminator_norms"}),
    "BatchNorm in D's first block": ("discriminator", {"if i > 0:": "if True:"}, {"discriminator_norms"}),
    "ReLU in D": ("discriminator", {"nn.LeakyReLU(0.2)": "nn.ReLU()"}, {"discriminator_slopes"}),
    "a slope of 0.01": ("discriminator", {"nn.LeakyReLU(0.2)": "nn.LeakyReLU()"}, {"discriminator_slopes"}),
    "channels that do not double": ("discriminator", {"2 ** (i // 2)": "1"}, {"discriminator_layers"}),
    "no strides": ("discriminator", {"stride=1 + i % 2": "stride=1"}, {"discriminator_layers"}),
    "one number for the batch": (
        "discriminator",
        {"return self.fc2(F.leaky_relu(self.fc1(x), 0.2))": "return self.fc2(F.leaky_relu(self.fc1(x), 0.2)).mean()"},
        {"discriminator_sizes"},
    ),
    "VGG19 without normalisation": ("vgg", {"(images - self.mean) / self.std": "images"}, {"vgg_features"}),
    "normalised to [-1, 1]": ("vgg", {"(images - self.mean) / self.std": "2 * images - 1"}, {"vgg_features"}),
    "cut before the ReLU": ("vgg", {"isinstance(layer, nn.ReLU)": "isinstance(layer, nn.Conv2d)"}, {"vgg_features"}),
    "one convolution too many": ("vgg", {"convolutions == j ": "convolutions == j + 1 - (j == 2) "}, {"vgg_features"}),
    "no gradient through VGG": (
        "vgg",
        {
            "return self.features((images - self.mean) "
            "/ self.std)": "return self.features((images - self.mean) / self.std).detach()"
        },
        {"vgg_passes_gradients"},
    ),
    "D's gradients are never zeroed": ("solver", {"        optimizer_d.zero_grad()\n": ""}, {"train_fresh_gradients"}),
    "G's gradients are never zeroed": (
        "solver",
        {
            "        optimizer_g.zero_grad()\n        loss.backward()\n        optimizer_g.step()"
            "\n\n        real": "        loss.backward()\n        optimizer_g.step()\n\n        real"
        },
        {"train_fresh_gradients"},
    ),
    "D's labels swapped": (
        "solver",
        {
            "(real, torch.ones_like(real))": "(real, torch.zeros_like(real))",
            "(fake, torch.zeros_like(fake))": "(fake, torch.ones_like(fake))",
        },
        {"train_discriminator"},
    ),
    "G's label swapped": (
        "solver",
        {"(judged, torch.ones_like(judged))": "(judged, torch.zeros_like(judged))"},
        {"train_adversarial"},
    ),
    "SR is detached for D's opinion": (
        "solver",
        {"judged = discriminator(sr)": "judged = discriminator(sr.detach())"},
        {"train_adversarial"},
    ),
    "no adversarial loss": ("solver", {"loss = content + beta * adversarial": "loss = content"}, {"train_adversarial"}),
    "no content loss": ("solver", {"loss = content + beta": "loss = beta"}, {"train_content", "train_vgg"}),
    "pixels instead of features": (
        "solver",
        {
            "sr_features = truncated_vgg19((sr + 1) / 2)": "sr_features = sr",
            "hr_features = truncated_vgg19((hr + 1) / 2).detach()": "hr_features = hr",
        },
        {"train_vgg"},
    ),
    "HR and SR in different ranges to VGG": (
        "solver",
        {"hr_features = truncated_vgg19((hr + 1) / 2)": "hr_features = truncated_vgg19(hr)"},
        {"train_content"},
    ),
    "D never learns": ("solver", {"        optimizer_d.step()\n": ""}, {"train_discriminator"}),
    "pre-training does nothing": (
        "solver",
        {"    for lr, hr in train_loader:": "    for lr, hr in []:"},
        {"train_pretrain"},
    ),
    "pre-training forgets the step": (
        "solver",
        {"loss.backward()\n        optimizer_g.step()\n\n\n": "loss.backward()\n\n\n"},
        {"train_pretrain"},
    ),
    "pre-training away from HR": (
        "solver",
        {"loss = content_loss_criterion(sr, hr)": "loss = -content_loss_criterion(sr, hr)"},
        {"train_pretrain"},
    ),
}


def source_of(part, change):
    """The text of a part with its replacements.

    Raises:
        ValueError: if something to be replaced is not there.
    """
    text = PARTS[part]
    if change == "OLD":
        return text.partition("\n\ndef train(")[0].partition("\ndef pretrain(")[0] + OLD_TRAIN
    if change == "D_FIRST":
        start, end = text.index("        sr_features ="), text.index("        real = ")
        return text[:start] + text[end:].rstrip("\n") + "\n" + text[start:end]
    for old, new in change.items():
        if old not in text:
            raise ValueError(f"{old!r} is not in {part}")
        text = text.replace(old, new)
    return text
