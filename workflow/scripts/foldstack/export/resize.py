"""Fitting images of any size to the stored size inside an ONNX graph: Pillow's own arithmetic, pixel for pixel.

Pillow resizes 8-bit images by two passes of fixed-point sums, whose weights depend on the sizes alone
(`src/libImaging/Resample.c`). A pass is a matrix product of whole numbers, which doubles hold exactly, so the graph
computes the weights as Pillow does and multiplies. Images of the stored size skip all this, unchanged.

The weights are whole numbers, and a Floor that leaves them as they are stands between a Transpose and its MatMul: else
onnxruntime 1.17 makes one node of the two, for which it has no code in double precision, and does not open the file.
"""

from onnx import GraphProto, parser

# One axis: {p} prefixes its names, {p}in, {p}low, {p}high (extent that is seen, float), {p}new (size it gets) and
# {p}before (black rows before it) are doubles unless said otherwise; {out} is the stored size. The result {p}weights is
# (out, in): Pillow's bicubic coefficients in units of 2**-22.
AXIS = """
    {p}extent_single = Sub({p}high, {p}low)
    {p}extent = Cast<to = 11>({p}extent_single)
    {p}start = Cast<to = 11>({p}low)
    {p}scale = Div({p}extent, {p}new)
    {p}stretch = Max({p}scale, one)
    {p}support = Mul({p}stretch, two)
    {p}shrink = Div(one, {p}stretch)
    {p}out_end = Constant<value = double {{{out}}}>()
    {p}places = Range(zero, {p}out_end, one)
    {p}rows_flat = Sub({p}places, {p}before)
    {p}rows = Unsqueeze({p}rows_flat, across_axis)
    {p}not_before = GreaterOrEqual({p}rows, zero)
    {p}not_after = Less({p}rows, {p}new)
    {p}seen = And({p}not_before, {p}not_after)
    {p}rows_middle = Add({p}rows, half)
    {p}scaled = Mul({p}rows_middle, {p}scale)
    {p}center = Add({p}start, {p}scaled)
    {p}first_raw = Sub({p}center, {p}support)
    {p}first_half = Add({p}first_raw, half)
    {p}first = Floor({p}first_half)
    {p}last_raw = Add({p}center, {p}support)
    {p}last_half = Add({p}last_raw, half)
    {p}last = Floor({p}last_half)
    {p}columns = Range(zero, {p}in, one)
    {p}from_first = GreaterOrEqual({p}columns, {p}first)
    {p}to_last = Less({p}columns, {p}last)
    {p}in_window = And({p}from_first, {p}to_last)
    {p}used = And({p}in_window, {p}seen)
    {p}distance = Sub({p}columns, {p}center)
    {p}distance_middle = Add({p}distance, half)
    {p}signed = Mul({p}distance_middle, {p}shrink)
    {p}x = Abs({p}signed)
    {p}near_1 = Mul(near_a, {p}x)
    {p}near_2 = Sub({p}near_1, near_b)
    {p}near_3 = Mul({p}near_2, {p}x)
    {p}near_4 = Mul({p}near_3, {p}x)
    {p}near = Add({p}near_4, one)
    {p}far_1 = Sub({p}x, five)
    {p}far_2 = Mul({p}far_1, {p}x)
    {p}far_3 = Add({p}far_2, eight)
    {p}far_4 = Mul({p}far_3, {p}x)
    {p}far_5 = Sub({p}far_4, four)
    {p}far_6 = Mul({p}far_5, minus_half)
    {p}is_far = Less({p}x, two)
    {p}far = Where({p}is_far, {p}far_6, zero)
    {p}is_near = Less({p}x, one)
    {p}anywhere = Where({p}is_near, {p}near, {p}far)
    {p}raw = Where({p}used, {p}anywhere, zero)
    {p}sum = ReduceSum<keepdims = 1>({p}raw, across_axis)
    {p}divisor = Where({p}seen, {p}sum, one)
    {p}share = Div({p}raw, {p}divisor)
    {p}size = Abs({p}share)
    {p}fixed = Mul({p}size, precision)
    {p}fixed_half = Add({p}fixed, half)
    {p}whole = Floor({p}fixed_half)
    {p}sign = Sign({p}share)
    {p}weights = Mul({p}whole, {p}sign)
"""

# Sums of a pass, {name}sums, back to 0..255 as Pillow rounds them: {name}.
TO_8_BIT = """
    {name}_share = Div({name}_sums, precision)
    {name}_half = Add({name}_share, half)
    {name}_whole = Floor({name}_half)
    {name} = Clip({name}_whole, zero, white)
"""

NUMBERS = {
    "zero": 0.0, "one": 1.0, "two": 2.0, "four": 4.0, "five": 5.0, "eight": 8.0, "half": 0.5, "minus_half": -0.5,
    "near_a": 1.5, "near_b": 2.5, "white": 255.0, "precision": 2.0**22,
}  # fmt: skip

# The part of the image that is seen and the size it gets, as PIL.ImageOps.fit, resize and PIL.ImageOps.pad decide it.
WHOLE = """
    y_low = Cast<to = 1>(zero)
    x_low = Cast<to = 1>(zero)
    y_high = Cast<to = 1>(y_in)
    x_high = Cast<to = 1>(x_in)
"""
NO_BORDER = """
    y_new = Identity(out_height)
    x_new = Identity(out_width)
    y_before = Identity(zero)
    x_before = Identity(zero)
"""
PARTS = {
    "stretch": WHOLE + NO_BORDER,
    "crop": """
    ratio = Div(x_in, y_in)
    wanted = Div(out_width, out_height)
    wide = Greater(ratio, wanted)
    tall = Less(ratio, wanted)
    narrowed = Mul(wanted, y_in)
    x_crop = Where(wide, narrowed, x_in)
    lowered = Div(x_in, wanted)
    y_crop = Where(tall, lowered, y_in)
    y_rest = Sub(y_in, y_crop)
    x_rest = Sub(x_in, x_crop)
    y_from = Mul(y_rest, half)
    x_from = Mul(x_rest, half)
    y_to = Add(y_from, y_crop)
    x_to = Add(x_from, x_crop)
    y_low = Cast<to = 1>(y_from)
    x_low = Cast<to = 1>(x_from)
    y_high = Cast<to = 1>(y_to)
    x_high = Cast<to = 1>(x_to)
"""
    + NO_BORDER,
    "pad": WHOLE
    + """
    ratio = Div(x_in, y_in)
    wanted = Div(out_width, out_height)
    wide = Greater(ratio, wanted)
    tall = Less(ratio, wanted)
    upright = Div(y_in, x_in)
    y_fitted = Mul(upright, out_width)
    y_round = Round(y_fitted)
    y_one = Max(y_round, one)
    y_new = Where(wide, y_one, out_height)
    x_fitted = Mul(ratio, out_height)
    x_round = Round(x_fitted)
    x_one = Max(x_round, one)
    x_new = Where(tall, x_one, out_width)
    y_border = Sub(out_height, y_new)
    x_border = Sub(out_width, x_new)
    y_side = Mul(y_border, half)
    x_side = Mul(x_border, half)
    y_before = Round(y_side)
    x_before = Round(x_side)
""",
}


def fit_graph(size: tuple[int, int], channels: int, fit: str, pairs: bool) -> GraphProto:
    """From `image` uint8 (batch, [2,] height, width, C), any size, to `pixels` of `size` [H, W]; `fit` as configured.

    The file is ONNX in its text form, opset 20.
    """
    height, width = size
    views, first = ("2, ", 2) if pairs else ("", 1)
    shape = f"{views}{height}, {width}, {channels}"
    return parser.parse_graph(f"""
fit (uint8[batch, {views}height, width, {channels}] image) => (uint8[batch, {shape}] pixels) {{
    size = Shape<start = {first}, end = {first + 2}>(image)
    stored_size = Constant<value = int64[2] {{{height}, {width}}}>()
    same_axes = Equal(size, stored_size)
    other_axes = Not(same_axes)
    other_axes_count = Cast<to = 7>(other_axes)
    other_axes_sum = ReduceSum<keepdims = 0>(other_axes_count)
    is_other = Cast<to = 9>(other_axes_sum)
    fitted = If (is_other) <
        then_branch = resize () => (uint8[n, h, w, {channels}] resized) {{ {_resize(height, width, channels, fit)} }},
        else_branch = keep () => (uint8[n, h, w, {channels}] kept) {{
            images_shape = Constant<value = int64[4] {{-1, {height}, {width}, {channels}}}>()
            kept = Reshape(image, images_shape)
        }}
    >
    pixels_shape = Constant<value = int64[{5 if pairs else 4}] {{-1, {shape}}}>()
    pixels = Reshape(fitted, pixels_shape)
}}""")


def _resize(height: int, width: int, channels: int, fit: str) -> str:
    numbers = "".join(f"{name} = Constant<value = double {{{value}}}>()\n" for name, value in NUMBERS.items())
    return f"""{numbers}
    across_axis = Constant<value = int64[1] {{1}}>()
    out_height = Constant<value = double {{{height}.0}}>()
    out_width = Constant<value = double {{{width}.0}}>()
    size_double = Cast<to = 11>(size)
    index_0 = Constant<value = int64 {{0}}>()
    index_1 = Constant<value = int64 {{1}}>()
    y_in = Gather(size_double, index_0)
    x_in = Gather(size_double, index_1)
    {PARTS[fit]}
    {AXIS.format(p="y_", out=f"{height}.0")}
    {AXIS.format(p="x_", out=f"{width}.0")}
    any_count = Constant<value = int64[1] {{-1}}>()
    channel_count = Constant<value = int64[1] {{{channels}}}>()
    flat_shape = Concat<axis = 0>(any_count, size, channel_count)
    flat = Reshape(image, flat_shape)
    planes = Transpose<perm = [0, 3, 1, 2]>(flat)
    planes_double = Cast<to = 11>(planes)
    x_turned = Transpose<perm = [1, 0]>(x_weights)
    x_by_column = Floor(x_turned)
    across_sums = MatMul(planes_double, x_by_column)
    {TO_8_BIT.format(name="across")}
    down_sums = MatMul(y_weights, across)
    {TO_8_BIT.format(name="down")}
    down_8_bit = Cast<to = 2>(down)
    resized = Transpose<perm = [0, 2, 3, 1]>(down_8_bit)
"""
