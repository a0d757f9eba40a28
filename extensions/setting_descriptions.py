"""What A2N, SRDiff and SR3 have of settings besides those of config.py; see support/setting_descriptions.py."""

from numbers import Real

from support.setting_descriptions import FILE, KIT, SETTINGS
from support.setting_kinds import Choice, Flag, Kind, ListOf, NotAllowed, Number, Section, Setting, Stage, Text, Whole

PAPER = "the method's paper", "该方法的论文"
CODE = "the authors' code", "作者的代码"
TUTORIAL = "A2N's tutorial", "A2N 的教程"


class Betas(Kind):
    """A linear schedule of noise: first beta, last beta, number of steps."""

    words = ("a list of three: first and last beta (above 0, below 1), number of steps",
             "三项的列表：首、末两个 beta（大于 0、小于 1）与步数")

    def _take(self, value):
        if not isinstance(value, (list, tuple)) or len(value) != 3:
            raise NotAllowed
        if not all(isinstance(beta, Real) and 0 < beta < 1 for beta in value[:2]):
            raise NotAllowed
        return type(value)([*value[:2], Whole(1).take(value[2])])


ANY_METHOD = {
    "method": Setting(Choice("a2n", "srdiff", "sr3"), KIT,
        "which network",
        "用哪种网络", ("given", "调用时给出")),
    "stages": Setting(ListOf(Text("the name of a stage", "阶段名称"), least=1), KIT,
        "which stages are trained, in this order",
        "依次训练哪些阶段"),
}
N_STEPS = Setting(Whole(1, none=("all", "全部")), KIT,
    "steps of sampling",
    "采样步数")
DDIM = Setting(Flag(), KIT,
    "sample without new noise, as DDIM does",
    "采样时不加新的噪声（DDIM）")
CHANNELS = Setting(Whole(1), PAPER,
    "channels of the U-Net",
    "U-Net 的通道数")
MULTIPLIERS = Setting(ListOf(Whole(1), least=1), PAPER,
    "level k of the U-Net has n_channels times the k-th",
    "U-Net 第 k 层的通道数为 n_channels 乘以第 k 项")

A2N = {
    "transfer": Setting(Text(*FILE, none=("fresh weights", "全新的权重")), PAPER,
        "a network of another scaling factor to start from",
        "从另一放大倍数的网络开始训练"),
    "sub_images": Setting(Section(none=("patches from anywhere", "图像块取自任意位置")), TUTORIAL,
        "the tutorial's sub-images",
        "教程中的子图"),
    "sub_images.size": Setting(Whole(1), TUTORIAL,
        "side of a sub-image in HR pixels",
        "子图边长（HR 像素）"),
    "sub_images.stride": Setting(Whole(1), TUTORIAL,
        "from one sub-image to the next",
        "相邻子图的间隔"),
    "A2N": Setting(Section(), PAPER,
        "the network",
        "网络"),
    "A2N.n_channels": Setting(Whole(1), PAPER,
        "channels of its blocks",
        "各块的通道数"),
    "A2N.n_up_channels": Setting(Whole(1), PAPER,
        "channels of the upsampling stages",
        "上采样部分的通道数"),
    "A2N.n_blocks": Setting(Whole(0), PAPER,
        "attention-in-attention blocks",
        "双重注意力块的个数"),
    "A2N.small": Setting(Flag(), PAPER,
        "A2N-M: the branch without attention is a 1 x 1 convolution",
        "A2N-M：无注意力分支为 1 x 1 卷积"),
    "A2N.loss": Setting(Choice("l1", "mse", "charbonnier"), PAPER,
        "the training loss",
        "训练用的损失"),
    "a2n": Setting(Stage(), KIT,
        "what differs in this stage",
        "该阶段的不同之处"),
}

SRDIFF = {
    "encoder": Setting(Text(*FILE, none=("this run's", "本次运行的")), KIT,
        "a trained encoder",
        "已训练的编码器"),
    "SRDiff": Setting(Section(), PAPER,
        "the network",
        "网络"),
    "SRDiff.encoder": Setting(Section(), PAPER,
        "the encoder of LR",
        "LR 的编码器"),
    "SRDiff.encoder.n_channels": Setting(Whole(2), CODE,
        "channels of its feature maps",
        "特征图的通道数"),
    "SRDiff.encoder.n_blocks": Setting(Whole(0), CODE,
        "its residual-in-residual dense blocks",
        "残差密集块的个数"),
    "SRDiff.n_channels": CHANNELS,
    "SRDiff.multipliers": MULTIPLIERS,
    "SRDiff.n_train_steps": Setting(Whole(1), PAPER,
        "steps of the cosine schedule",
        "余弦噪声调度的步数"),
    "SRDiff.n_steps": N_STEPS,
    "SRDiff.ddim": DDIM,
    "srdiff_encoder": Setting(Stage(), KIT,
        "what differs in the encoder's stage",
        "编码器阶段的不同之处"),
    "srdiff": Setting(Stage(), KIT,
        "what differs in the U-Net's stage",
        "U-Net 阶段的不同之处"),
}

SR3 = {
    "sr3": Setting(Stage(), KIT,
        "what differs in this stage",
        "该阶段的不同之处"),
    "sr3.network": Setting(Section(), PAPER,
        "the arguments of extensions.sr3.SR3",
        "extensions.sr3.SR3 的参数"),
    "sr3.network.betas": Setting(Betas(), CODE,
        "schedule of training",
        "训练用的噪声调度"),
    "sr3.network.test_betas": Setting(Betas(none=("training's", "与训练相同")), KIT,
        "schedule of sampling",
        "采样用的噪声调度"),
    "sr3.network.target": Setting(Choice("image", "residual"), KIT,
        "what is sampled: HR, or what interpolation misses",
        "采样的对象：HR，或插值所缺的残差"),
    "sr3.network.variant": Setting(Choice("sr3", "ddpm"), CODE,
        "the network is told the noise level, or the number of the step",
        "告诉网络噪声水平，还是步的序号"),
    "sr3.network.conditional": Setting(Flag(), CODE,
        "whether LR is used",
        "是否用到 LR"),
    "sr3.network.n_steps": N_STEPS,
    "sr3.network.ddim": DDIM,
    "sr3.network.seed": Setting(Whole(0), KIT,
        "of sampling's noise",
        "采样噪声的种子"),
    "sr3.network.tile": Setting(Whole(1), KIT,
        "larger images are processed in tiles of this side",
        "大图按此边长分块处理"),
    "sr3.network.unet": Setting(Section(), CODE,
        "the U-Net",
        "U-Net"),
    "sr3.network.unet.n_channels": CHANNELS,
    "sr3.network.unet.multipliers": MULTIPLIERS,
    "sr3.network.unet.attention_at": Setting(ListOf(Whole(1)), CODE,
        "sizes of feature maps that get attention",
        "在哪些尺寸的特征图上使用注意力"),
    "sr3.network.unet.n_res_blocks": Setting(Whole(1), CODE,
        "residual blocks of each level",
        "每层的残差块数"),
    "sr3.network.unet.dropout": Setting(Number(0, below=1), CODE,
        "part of the features that is dropped in training",
        "训练时丢弃的特征比例"),
    "sr3.network.unet.groups": Setting(Whole(1), CODE,
        "groups of GroupNorm; they divide the channels",
        "GroupNorm 的组数，须能整除通道数"),
    "sr3.network.unet.size": Setting(Whole(1), CODE,
        "side of the training images",
        "训练图像的边长"),
    "sr3.network.unet.level_scale": Setting(Number(above=0), KIT,
        "factor of the noise level in its embedding",
        "噪声水平嵌入时乘的系数"),
}

OWN = {"a2n": A2N, "srdiff": SRDIFF, "sr3": SR3}
DESCRIBED = {method: {**SETTINGS, **ANY_METHOD, **own} for method, own in OWN.items()}
