# SPDX-License-Identifier: Apache-2.0
"""Networks of the kinds that people deploy, with weights from a seed."""

from __future__ import annotations

from tests.models_network import Network


def _named(family: str, pixels: int, width: float) -> str:
    return f"{family}_{pixels}" + ("" if width == 1 else f"_x{round(100 * width):03d}")


def mobilenet_v1(pixels: int, width: float = 1.0, classes: int = 1000) -> Network:
    """Depthwise and pointwise pairs."""
    net = Network(_named("mobilenet_v1", pixels, width), (1, pixels, pixels, 3))
    last = net.conv(0, int(32 * width), 3, 2)
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for channels, stride in [*blocks, (1024, 2), (1024, 1)]:
        last = net.conv(net.depthwise(last, stride), int(channels * width))
    net.softmax(net.dense(net.mean(last), classes, spread=4))
    return net


def mobilenet_v2(pixels: int, width: float = 1.0, classes: int = 1000) -> Network:
    """Inverted residuals."""
    net = Network(_named("mobilenet_v2", pixels, width), (1, pixels, pixels, 3))
    last = net.conv(0, int(32 * width), 3, 2)
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for expand, channels, repeat, first in [*table, (6, 160, 3, 2), (6, 320, 1, 1)]:
        for number in range(repeat):
            before, stride = last, first if number == 0 else 1
            if expand > 1:
                last = net.conv(last, expand * net.shape(last)[3])
            last = net.depthwise(last, stride)
            last = net.conv(last, max(8, int(channels * width) // 8 * 8), relu="")
            if stride == 1 and net.shape(before) == net.shape(last):
                last = net.add(before, last)
    net.softmax(net.dense(net.mean(net.conv(last, 1280)), classes, spread=4))
    return net


def gemm(m: int, k: int, n: int) -> Network:
    """One fully connected layer; m = 1 is a matrix-vector product."""
    net = Network(f"gemm_{m}x{k}x{n}", (m, k))
    net.dense(0, n)
    return net


def ds_cnn(channels: int = 64, blocks: int = 4) -> Network:
    """Keyword spotting on 49×10 features: MLPerf Tiny's has 64 channels and four blocks."""
    net = Network(f"ds_cnn_{channels}", (1, 49, 10, 1))
    last = net.conv(0, channels, (10, 4), 2, relu="relu")
    for _ in range(blocks):
        last = net.conv(net.depthwise(last, relu="relu"), channels, relu="relu")
    net.softmax(net.dense(net.mean(last), 12, spread=4))
    return net


def resnet8(widths: tuple[int, int, int] = (16, 32, 64), classes: int = 10) -> Network:
    """MLPerf Tiny's image classifier on 32×32 pixels, or one of other widths."""
    net = Network("resnet8_" + "_".join(map(str, widths)), (1, 32, 32, 3))
    last = net.conv(0, widths[0], 3, relu="relu")
    for channels in widths:
        before, stride = last, 1 if channels == widths[0] else 2
        last = net.conv(net.conv(last, channels, 3, stride, relu="relu"), channels, 3, relu="")
        if stride > 1:
            before = net.conv(before, channels, 1, stride, relu="")
        last = net.add(before, last, relu="relu")
    net.softmax(net.dense(net.mean(last), classes, spread=4))
    return net


def autoencoder(features: int = 640, hidden: int = 128, neck: int = 8) -> Network:
    """Anomaly detection: dense layers down to ``neck`` and up again, as in MLPerf Tiny."""
    net = Network(f"autoencoder_{features}_{hidden}_{neck}", (1, features))
    last = 0
    for wide in [*[hidden] * 4, neck, *[hidden] * 4]:
        last = net.dense(last, wide, relu="relu")
    net.dense(last, features)
    return net


def mobilenet_v3(pixels: int, width: float = 1.0, classes: int = 1000) -> Network:
    """MobileNetV3 small: squeeze and excitation, hard swish, windows of 5×5."""
    net = Network(_named("mobilenet_v3", pixels, width), (1, pixels, pixels, 3))

    def rounded(channels: float) -> int:
        return max(8, int(channels * width + 4) // 8 * 8)

    def activated(value: int, swish: bool) -> int:
        return net.hard_swish(value) if swish else value

    last = net.hard_swish(net.conv(0, 16, 3, 2, relu=""))
    table = [
        (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
    ]  # fmt: skip
    for kernel, expand, channels, squeeze, swish, stride in table:
        before, relu = last, "" if swish else "relu"
        last = activated(net.conv(last, rounded(expand), relu=relu), swish)
        last = activated(net.depthwise(last, stride, kernel, relu=relu), swish)
        if squeeze:
            last = excited(net, last, rounded(expand / 4))
        last = net.conv(last, rounded(channels), relu="")
        if stride == 1 and net.shape(before) == net.shape(last):
            last = net.add(before, last)
    last = net.hard_swish(net.conv(last, rounded(576), relu=""))
    net.softmax(net.dense(net.mean(last), classes, spread=4))
    return net


def efficientnet(pixels: int, classes: int = 1000, *, lite: bool) -> Network:
    """EfficientNet B0 with swish and squeeze, or its lite form with neither and ReLU6."""
    name = "efficientnet_lite" if lite else "efficientnet"
    net = Network(_named(name, pixels, 1), (1, pixels, pixels, 3))

    def activated(value: int) -> int:
        return value if lite else net.mul(value, net.sigmoid(value))

    relu = "relu6" if lite else ""
    last = activated(net.conv(0, 32, 3, 2, relu=relu))
    table = [
        (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    ]  # fmt: skip
    for expand, channels, repeat, first, kernel in table:
        for number in range(repeat):
            before, stride = last, first if number == 0 else 1
            if expand > 1:
                last = activated(net.conv(last, expand * net.shape(last)[3], relu=relu))
            last = activated(net.depthwise(last, stride, kernel, relu=relu))
            if not lite:
                last = excited(net, last, net.shape(before)[3] // 4)
            last = net.conv(last, channels, relu="")
            if stride == 1 and net.shape(before) == net.shape(last):
                last = net.add(before, last)
    net.softmax(net.dense(net.mean(activated(net.conv(last, 1280, relu=relu))), classes, spread=4))
    return net


def excited(net: Network, value: int, squeezed: int) -> int:
    """Squeeze and excitation: each channel times what all channels together say of it."""
    channels = net.shape(value)[3]
    inner = net.conv(net.mean(value, keep=True), squeezed, relu="relu")
    return net.mul(value, net.sigmoid(net.conv(inner, channels, relu="")))
