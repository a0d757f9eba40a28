"""Every setting of config.py: what it takes, what it means, where its value comes from; in English and Chinese.

From here come the checks of support/settings.py, ``run_notebooks.py --help-settings`` and docs/settings.md.  The values
themselves are in config.py.  A new line there needs one here; a setting of one's own (``config.add``) does not.
"""

from support.setting_kinds import Choice, Flag, ListOf, Number, Section, Setting, Stage, Text, Whole

PAPER = "paper", "论文"
FIGURE_4 = "paper, figure 4", "论文图 4"
HANDOUT = "course handout", "课程讲义"
KIT = "this kit", "本套件"
FOLDER = "a folder", "文件夹路径"
FILE = "a file, or a name in weights/", "文件路径，或 weights/ 中的名称"

# Title of a group -> its settings, in the order of config.py.
GROUPS = {
    ("The run", "一次运行"): {
        "preset": Setting(Text("the name of a preset", "预设名称", none=("made by another tool", "由其他工具生成")),
                          ("where all other values come from; get_config(preset)",
                           "其余各项取值的来源，由 get_config(preset) 给出"), KIT, ("given", "调用时给出")),
        "name": Setting(Text("a name without / or \\", "不含 / 和 \\ 的名称", pattern=r"(?!\.\.?$)[^/\\]+"),
                        ("of the run: everything it leaves is in runs/<name>/", "运行的名称，所有结果都存放在 runs/<name>/"),
                        KIT, ("the preset's name", "与预设同名")),
        "seed": Setting(Whole(0, 2**32 - 1), ("of everything random: first weights, patches, their order",
                                             "一切随机量的种子：初始权重、图像块及其顺序"), KIT, ("0", "0")),
        "csv_folder": Setting(Text(*FOLDER), ("where the lists of images are", "图像列表所在的文件夹"), HANDOUT,
                              ("data", "data")),
        "device": Setting(Text("'cpu', 'cuda', 'cuda:1', ... or another device of torch",
                               "'cpu'、'cuda'、'cuda:1' 等 torch 设备",
                               pattern=r"(cpu|cuda|mps|xpu|hpu|npu|mlu|musa|privateuseone)(:\d+)?"),
                          ("what computes", "用什么硬件计算"), HANDOUT,
                          ("cuda if there is one, else cpu", "有 cuda 则用 cuda，否则用 cpu")),
        "store": Setting(Text(*FOLDER, none=("in memory", "只放在内存中")),
                         ("where the decoded images are kept", "解码后的图像存放在何处"), KIT,
                         (".store in csv_folder", "csv_folder 下的 .store")),
    },
    ("Images and batches", "图像与批次"): {
        "scaling_factor": Setting(Whole(2), ("HR is this many times larger than LR; the generator takes 2, 4 and 8",
                                             "HR 是 LR 的多少倍；生成器支持 2、4、8"), PAPER),
        "HR_data_folder": Setting(Text(*FOLDER, none=("the lists' own folder", "列表所在的文件夹")),
                                  ("what the HR paths in the lists are relative to", "列表中 HR 路径相对于哪个文件夹"), HANDOUT),
        "LR_data_folder": Setting(Text(*FOLDER, none=("the lists' own folder", "列表所在的文件夹")),
                                  ("what the LR paths in the lists are relative to", "列表中 LR 路径相对于哪个文件夹"), HANDOUT),
        "crop_size": Setting(Whole(4), ("side of an HR patch in pixels; divisible by scaling_factor",
                                        "HR 图像块的边长（像素），须能被 scaling_factor 整除"), PAPER),
        "patch_num": Setting(Whole(1), ("patches from each image in an epoch", "每个 epoch 从每张图像取多少个图像块"), HANDOUT),
        "batch_size": Setting(Whole(1), ("patches in an update", "每次更新使用的图像块数"), PAPER),
        "workers": Setting(Whole(0), ("processes that cut patches; 0: the training's own",
                                      "裁剪图像块的进程数；0 表示由训练进程自己裁剪"), KIT),
    },
    ("Networks", "网络"): {
        "G": Setting(Section(), ("the generator", "生成器"), FIGURE_4),
        "G.large_kernel_size": Setting(Whole(1, odd=True), ("kernel of the first and the last convolution",
                                                            "首、尾两个卷积的核大小"), FIGURE_4),
        "G.small_kernel_size": Setting(Whole(1, odd=True), ("kernel of all other convolutions", "其余卷积的核大小"), FIGURE_4),
        "G.n_channels": Setting(Whole(1), ("channels of its feature maps", "特征图的通道数"), FIGURE_4),
        "G.n_blocks": Setting(Whole(0), ("residual blocks", "残差块的个数"), FIGURE_4),
        "D": Setting(Section(), ("the discriminator", "判别器"), FIGURE_4),
        "D.kernel_size": Setting(Whole(1, odd=True), ("kernel of its convolutions", "卷积核大小"), FIGURE_4),
        "D.n_channels": Setting(Whole(1), ("channels of its first block", "第一个块的通道数"), FIGURE_4),
        "D.n_blocks": Setting(Whole(1), ("convolutional blocks; every second one halves the size",
                                         "卷积块的个数，每隔一个把尺寸减半"), FIGURE_4),
        "D.fc_size": Setting(Whole(1), ("width of its fully connected layer", "全连接层的宽度"), FIGURE_4),
        ### BEGIN SOLUTION
        "discriminator": Setting(Choice("srgan", "patch"), (
            "the paper's, or models.PatchDiscriminator, which takes only D.n_channels",
            "论文的判别器，或 models.PatchDiscriminator（只用到 D.n_channels）"), KIT),
        ### END SOLUTION
        ### BEGIN SOLUTION
        "start": Setting(Choice("random", "interpolation"), (
            "first weights: random, or those with which the network already interpolates",
            "初始权重：随机，或让网络一开始就会插值"), KIT),
        ### REPLACED BY
        # "start": Setting(Choice("random"), ("first weights of the networks", "网络的初始权重"), KIT),
        ### END SOLUTION
        "checkpoint": Setting(Text(*FILE, none=("fresh weights", "全新的权重")), (
            "weights that the generator starts from", "生成器从哪里的权重开始"), HANDOUT),
    },
    ("Length and learning rate", "训练长度与学习率"): {
        "pretrain": Setting(Stage(), ("what differs in pre-training", "预训练阶段的不同之处"), KIT),
        "start_epoch": Setting(Whole(0), ("epochs that are left out at the beginning", "开头跳过的 epoch 数"), HANDOUT),
        "epochs": Setting(Whole(0), ("epochs of this stage; 0: the stage is skipped", "该阶段的 epoch 数；0 表示跳过该阶段"),
                          HANDOUT),
        "updates_per_epoch": Setting(Whole(1, none=("every patch once", "每个图像块用一次")), (
            "at most this many updates in an epoch", "每个 epoch 最多更新多少次"), KIT),
        "lr": Setting(Number(above=0), ("learning rate", "学习率"), PAPER),
        "lr_d": Setting(Number(above=0, none=("the same as lr", "与 lr 相同")), (
            "the discriminator's learning rate", "判别器的学习率"), KIT),
        "lr_schedule": Setting(Choice("steps", "cosine"), ("how the learning rate falls", "学习率如何下降"), KIT),
        "lr_factor": Setting(Number(above=0), ("what each milestone of \"steps\" multiplies it by",
                                               "每到一个里程碑乘以多少（\"steps\"）"), PAPER),
        "lr_milestones": Setting(ListOf(Number(0, 1)), (
            "where the steps are, as parts of the stage's updates", "里程碑的位置，以占该阶段更新次数的比例表示"), PAPER),
        "warmup": Setting(Whole(0), ("updates in which the learning rate rises from 0", "学习率从 0 升起所用的更新次数"), KIT),
        "averaging": Setting(Number(0, below=1), (
            "decay of the averaged weights, which are measured and kept; 0: no averaging",
            "权重滑动平均的衰减系数，测量和保存的都是平均权重；0 表示不平均"), KIT),
        "freeze_tail": Setting(Flag(), ("SRGAN leaves the upsampling and last layers as they are",
                                        "SRGAN 阶段不训练上采样层和最后一层"), KIT),
    },
    ("The losses of SRGAN", "SRGAN 的损失"): {
        ### BEGIN SOLUTION
        "content_loss": Setting(Choice("vgg", "mse", "perceptual"), (
            "VGG features as in equation 5, pixels as in equation 4, or solver.PerceptualLoss",
            "VGG 特征（式 (5)）、像素（式 (4)）或 solver.PerceptualLoss"), PAPER),
        "pixel_weight": Setting(Number(0), ("weight of the pixels' term in \"perceptual\"", "\"perceptual\" 中像素项的权重"),
                                KIT),
        "feature_weight": Setting(Number(0), ("weight of the features' term in \"perceptual\"",
                                              "\"perceptual\" 中特征项的权重"), KIT),
        "grid_weight": Setting(Number(0), ("weight of the term against grids in \"perceptual\"",
                                           "\"perceptual\" 中抑制网格项的权重"), KIT),
        ### REPLACED BY
        # "content_loss": Setting(Choice("vgg", "mse"), (
        #     "VGG features as in equation 5, or pixels as in equation 4", "VGG 特征（式 (5)）或像素（式 (4)）"), PAPER),
        ### END SOLUTION
        "vgg19_i": Setting(Whole(1, 5), ("VGG's features before which max-pool", "取 VGG 第几个最大池化之前的特征"), PAPER),
        "vgg19_j": Setting(Whole(1, 4), ("after which convolution before that max-pool", "该池化之前第几个卷积之后"), PAPER),
        "vgg19_weights": Setting(Choice("imagenet", "vgg16", "random", other=("a file", "文件路径")), (
            "which filters: ImageNet's, 548 MB; the smaller learned network of support/vgg16.py; random numbers",
            "用哪种滤波器：ImageNet 权重（548 MB）、较小的已训练网络（support/vgg16.py）或随机数"), PAPER),
        "feature_scale": Setting(Number(above=0), (
            "the features are multiplied by it; the paper's 1/12.75 divides this loss by 163",
            "特征乘以该数；论文取 1/12.75，这项损失因而缩小到 1/163"), HANDOUT),
        "beta": Setting(Number(0), ("weight of the adversarial loss in equation 3", "对抗损失的权重（式 (3)）"), PAPER),
        "d_shift": Setting(Whole(0), (
            "D sees windows of the patches this many pixels smaller, at a random place",
            "判别器看到的是图像块中随机位置的窗口，边长小多少像素"), KIT),
    },
    ("Arithmetic", "计算方式"): {
        "amp": Setting(Choice("auto", "bf16", "fp16", none=("float32", "float32")), (
            "mixed precision; \"auto\": what the CUDA card is good at, float32 on a CPU",
            "混合精度；\"auto\" 表示按显卡能力选择，CPU 上用 float32"), KIT),
        "channels_last": Setting(Flag(), ("feature maps as (N, h, w, C) in memory: faster", "特征图在内存中按 (N, h, w, C) 排列，更快"),
                                 KIT),
        "compile": Setting(Flag(), ("torch.compile: a minute at the start, faster updates on CUDA",
                                    "使用 torch.compile：开头多等一分钟，CUDA 上更新更快"), KIT),
    },
    ("Watching a training", "训练的监控与保存"): {
        "on_trouble": Setting(Choice("continue", "stop"), (
            "what follows exploding gradients, or a discriminator that has won",
            "梯度爆炸或判别器完胜时怎么办：提示后继续，或停下"), KIT),
        "exploding_gradient": Setting(Number(above=0), ("a gradient norm this many times the usual one counts as exploding",
                                                        "梯度范数达到平常的多少倍算作爆炸"), KIT),
        "d_has_won_loss": Setting(Number(0), ("the discriminator has won if its loss stays below this",
                                              "判别器的损失持续低于该值算作完胜"), KIT),
        "d_has_won_updates": Setting(Whole(1), ("for so many updates in a row", "须连续多少次更新"), KIT),
        "print_freq": Setting(Whole(1), ("updates between two readings of the losses", "每隔多少次更新读取一次损失"), HANDOUT),
        "checkpoint_every": Setting(Whole(1), ("updates between two checkpoints inside an epoch",
                                               "epoch 内每隔多少次更新保存一次检查点"), KIT),
        "keep_every": Setting(Whole(0), ("the generator is kept after every n-th epoch; 0: never",
                                         "每隔多少个 epoch 保留一次生成器；0 表示从不"), KIT),
    },
    ("Measuring", "测量"): {
        "n_valid": Setting(Whole(1, none=("all", "全部")), ("validation images that are measured after each epoch",
                                                          "每个 epoch 之后测量多少张验证图像"), KIT),
        "test_sets": Setting(ListOf(Text("the name of a set", "测试集名称")), ("what test.ipynb measures", "test.ipynb 测量哪些测试集"),
                             KIT),
        "measures": Setting(ListOf(Choice("niqe", "vgg16", "lpips", "texture", "grid")), (
            "measured besides PSNR and SSIM, see support/measures.py", "除 PSNR、SSIM 之外还测量什么（support/measures.py）"), KIT),
    },
}

SETTINGS = {name: setting for group in GROUPS.values() for name, setting in group.items()}
