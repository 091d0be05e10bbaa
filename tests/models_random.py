# SPDX-License-Identifier: Apache-2.0
"""Networks drawn at random: every kind of layer in sizes that nobody chose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests.models_build import Network, to_tflite, transformer
from tests.models_onnx import Maker
from tests.models_zoo import excited

FUNCTIONS = (
    "Exp",
    "Log",
    "Tanh",
    "Sqrt",
    "Sigmoid",
    "Erf",
    "Floor",
    "Abs",
    "HardSwish",
    "Reciprocal",
)
RELUS = ("relu6", "relu", "")


def images(seed: int, layers: int = 14) -> Network:
    """Convolutions, depthwise ones, residuals and activations on a picture."""
    random = np.random.default_rng(seed)
    pixels = int(random.integers(12, 64))
    net = Network(f"images_{seed}", (1, pixels, pixels, int(random.choice([1, 3, 3, 4]))), seed)
    last = net.conv(0, int(random.integers(8, 64)), int(random.choice([3, 3, 5, 7])), 2)
    for _ in range(layers):
        last = _layer(net, last, random)
    net.softmax(net.dense(net.mean(last), int(random.integers(5, 1500)), spread=4))
    return net


def _layer(net: Network, last: int, random: np.random.Generator) -> int:
    channels = int(2 ** random.uniform(3, 8)) // 4 * 4 + int(random.choice([0, 0, 0, 1, 3]))
    stride = 2 if net.shape(last)[1] > 6 and random.random() < 0.3 else 1
    relu = str(random.choice(RELUS))
    match int(random.integers(0, 10)):
        case 0 | 1 | 2:
            return net.conv(last, channels, 1, relu=relu)
        case 3 | 4:
            return net.conv(last, channels // 2 + 4, 3, stride, relu=relu)
        case 5 | 6 | 7:
            return net.depthwise(last, stride, int(random.choice([3, 3, 5])), relu=relu)
        case 8:
            same = net.conv(last, net.shape(last)[3], int(random.choice([1, 3])), relu="")
            return net.add(last, same, relu=relu)
    wide = net.conv(last, channels, 1, relu="")
    match int(random.integers(0, 4)):
        case 0:
            return net.hard_swish(wide)
        case 1:
            return net.mul(wide, net.sigmoid(wide))
        case 2:
            return net.sigmoid(wide)
    return excited(net, wide, max(4, channels // 4))


def wide(seed: int) -> Network:
    """Few pixels and many channels: more weights than caches hold."""
    random = np.random.default_rng(seed)
    pixels = int(random.integers(3, 15))
    net = Network(f"wide_{seed}", (1, pixels, pixels, int(random.integers(16, 200))), seed)
    last = 0
    for _ in range(int(random.integers(3, 9))):
        channels = int(2 ** random.uniform(6, 10.3)) // 4 * 4
        last = net.conv(last, channels, 1, relu=str(random.choice(RELUS)))
        last = net.depthwise(last, 1, 3, relu="relu6")
    net.softmax(net.dense(net.mean(last), int(random.integers(100, 2000)), spread=4))
    return net


def separable(seed: int, layers: int = 6) -> Network:
    """Depthwise and 1×1 convolutions in turn, from small pictures to large ones."""
    random = np.random.default_rng(seed)
    pixels = int(2 ** random.uniform(3, 7))
    net = Network(f"separable_{seed}", (1, pixels, pixels, 3), seed)
    last = net.conv(0, int(random.integers(8, 48)), 3, 1)
    for _ in range(layers):
        stride = 2 if net.shape(last)[1] > 6 and random.random() < 0.4 else 1
        last = net.depthwise(last, stride, int(random.choice([3, 3, 3, 5])), relu="relu6")
        most = 10 if net.shape(last)[1] < 20 else 8
        channels = int(2 ** random.uniform(4, most)) // 4 * 4 + int(random.choice([0, 0, 0, 2]))
        last = net.conv(last, channels, 1, relu=str(random.choice(RELUS)))
        if random.random() < 0.3:
            last = net.add(last, net.conv(last, channels, 1, relu=""), relu="")
    net.softmax(net.dense(net.mean(last), 10))
    return net


def even(seed: int, layers: int = 7) -> Network:
    """Separable too, with the channel counts that people choose: whole vectors."""
    random = np.random.default_rng(seed)
    pixels = int(2 ** random.uniform(3, 7))
    net = Network(f"even_{seed}", (1, pixels, pixels, 3), seed)
    last = net.conv(0, 16 * int(random.integers(1, 4)), 3, 2)
    for _ in range(layers):
        stride = 2 if net.shape(last)[1] > 6 and random.random() < 0.3 else 1
        last = net.depthwise(last, stride, int(random.choice([3, 3, 3, 5])), relu="relu6")
        most = 5.5 if net.shape(last)[1] < 20 else 3.5
        channels = 16 * int(2 ** random.uniform(0, most))
        last = net.conv(last, channels, 1, relu=str(random.choice(RELUS)))
    net.softmax(net.dense(net.mean(last), 10))
    return net


def large(seed: int) -> Network:
    """More weights than most caches hold, and small operators between them."""
    random = np.random.default_rng(seed)
    pixels, weights = int(random.integers(2, 10)), 2e6 * 2 ** random.uniform(0, 2)
    net = Network(f"large_{seed}", (1, pixels, pixels, 64), seed)
    last = 0
    while weights > 0:
        before, channels = net.shape(last)[3], 8 * int(2 ** random.uniform(3, 7.5))
        last = net.conv(last, channels, 1, relu=str(random.choice(RELUS)))
        weights -= before * channels
        if random.random() < 0.3:
            last = net.depthwise(last, 1, 3, relu="relu6")
        if random.random() < 0.3:
            last = excited(net, last, max(4, channels // 24))
    net.softmax(net.dense(net.mean(last), 1000, spread=4))
    return net


def squares(seed: int, layers: int = 7) -> Network:
    """Windows of 3×3 that move by one."""
    random = np.random.default_rng(seed)
    pixels = int(random.integers(4, 50))
    net = Network(f"squares_{seed}", (1, pixels, pixels, int(random.integers(3, 40))), seed)
    last = 0
    for _ in range(layers):
        channels = int(2 ** random.uniform(3, 7)) // 4 * 4
        stride = 2 if net.shape(last)[1] > 10 and random.random() < 0.2 else 1
        last = net.conv(last, channels, 3, stride, relu=str(random.choice(RELUS)))
    net.softmax(net.dense(net.mean(last), 10))
    return net


def moves(seed: int) -> bytes:
    """Sums, copies and reductions of what convolutions wrote."""
    random = np.random.default_rng(seed)
    made, side, channels = Maker(), int(2 ** random.uniform(2, 6)), int(random.integers(4, 90))
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, side, side])
    x, outputs, infos = "x", {}, [info]
    for kind in ("Add", "Concat", "Mul", "Transpose"):
        out = int(2 ** random.uniform(3, 7))
        # sums of what no kernel of ours wrote are kernels of their own
        shape = [int(random.integers(1, 200)), int(2 ** random.uniform(4, 10))]
        infos.append(helper.make_tensor_value_info(f"{kind}_in", TensorProto.FLOAT, shape))
        alone = made.node("Add", f"{kind}_in", made.node("Abs", f"{kind}_in"))
        outputs[alone] = (TensorProto.FLOAT, shape)

        def conv(of: str, count: int, width: int) -> str:
            weights = random.normal(0, 1 / np.sqrt(count), (width, count, 1, 1))
            return made.node("Conv", of, made.constant(weights.astype(np.float32)))

        one, other = conv(x, channels, out), conv(x, channels, out)
        if kind == "Transpose":
            turned = made.node(kind, one, perm=[0, 1, 3, 2])
            x, channels = conv(turned, out, out), out
        elif kind == "Concat":
            x, channels = made.node(kind, one, other, axis=1), 2 * out
        else:  # of a third one, so that it is no part of a convolution
            both = made.node(kind, made.node("Relu", one), made.node("Tanh", other))
            x, channels = made.node("MaxPool", both, kernel_shape=[1, 1]), out
        for axes in ([2, 3], [1]):
            shape = [1, channels, 1, 1] if axes == [2, 3] else [1, 1, side, side]
            outputs[made.node("ReduceMean", x, axes=axes)] = (TensorProto.FLOAT, shape)
    return made.model("moves", infos, outputs)


def products(seed: int, layers: int = 8) -> Network:
    """Dense layers, over one row or many."""
    random = np.random.default_rng(seed)
    rows = int(random.choice([1, 1, 1, 2, 7, 30, 100, 333]))

    def width() -> int:
        return int(2 ** random.uniform(3, 10.5))

    net = Network(f"products_{seed}", (rows, width()), seed)
    last = 0
    for _ in range(layers):
        last = net.dense(last, width(), relu=str(random.choice(["", "relu"])))
    net.softmax(last)
    return net


def encoder(seed: int) -> bytes:
    """A transformer's encoder of two layers."""
    random = np.random.default_rng(seed)
    heads = int(random.integers(1, 9))
    hidden = heads * int(random.choice([16, 24, 32, 40, 64]))
    tokens, words = int(random.integers(5, 260)), int(random.integers(50, 999))
    return transformer(2, hidden, heads, tokens, words)


def functions(seed: int) -> bytes:
    """Products of matrices, each followed by another function of one number."""
    random = np.random.default_rng(seed)
    made, rows, wide = Maker(), int(random.integers(1, 200)), int(random.integers(8, 80))
    x = "x"
    info = helper.make_tensor_value_info(x, TensorProto.FLOAT, [rows, wide])
    for kind in random.permutation(FUNCTIONS):
        out = int(2 ** random.uniform(4, 8))
        weights = random.normal(0, 0.5 / np.sqrt(wide), (wide, out)).astype(np.float32)
        x = made.node(str(kind), made.node("MatMul", x, made.constant(weights)))
        wide = out
    return made.model("functions", [info], {x: (TensorProto.FLOAT, [rows, wide])})


def pools(seed: int) -> bytes:
    """Pooling of both kinds between convolutions."""
    random = np.random.default_rng(seed)
    made, side, channels = Maker(), int(random.integers(8, 60)), int(random.integers(4, 90))
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, side, side])
    x = "x"
    for kind in ("MaxPool", "AveragePool", "MaxPool", "AveragePool"):
        out, window = int(random.integers(4, 120)), int(random.choice([2, 3, 5]))
        weights = random.normal(0, 1 / np.sqrt(channels), (out, channels, 1, 1))
        x = made.node("Conv", x, made.constant(weights.astype(np.float32)))
        pads, stride = [window // 2] * 4, int(random.choice([1, 2]))
        options = {"kernel_shape": [window] * 2, "pads": pads, "strides": [stride] * 2}
        x = made.node(kind, x, **options)
        side, channels = (side + 2 * (window // 2) - window) // stride + 1, out
    x = made.node("Transpose", made.node("Relu", x), perm=[0, 2, 3, 1])
    return made.model("pools", [info], {x: (TensorProto.FLOAT, [1, side, side, channels])})


def write(folder: Path, seeds: range) -> list[Path]:
    """One network of each kind for each seed, in float32 and int8; answers the files."""
    paths = []
    for seed in seeds:
        for make_net in (images, separable, even, wide, large, squares, products):
            net = make_net(seed)
            for int8 in (False, True):
                path = folder / f"{net.name}_{'int8' if int8 else 'f32'}.tflite"
                path.write_bytes(to_tflite(net, int8=int8))
                paths.append(path)
        for make in (encoder, functions, pools, moves):
            path = folder / f"{make.__name__}_{seed}.onnx"
            path.write_bytes(make(seed))
            paths.append(path)
    return paths
