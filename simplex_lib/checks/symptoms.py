"""What a learner sees, and what is usually behind it. Searched by `symptoms("NaN")`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Symptom:
    """seen: as a learner would say it. words: other words one might look for."""

    seen: str
    causes: tuple[str, ...]
    attempt: str
    words: tuple[str, ...] = ()


SYMPTOMS = (
    Symptom(
        "I get NaN",
        (
            "A row in which everything is masked: all its logits are -inf, so the softmax "
            "divides 0 by 0.",
            "-inf - (-inf), in an online softmax whose first block is masked as a whole.",
            "exp of a large logit is inf, and inf / inf is NaN.",
            "0 * inf, where a mask is multiplied with instead of filled in.",
        ),
        "Find the first step that makes one: print(x.isnan().any(), x.isinf().any()) after every "
        "line. Then ask of that row: how many keys may it see?",
        ("inf", "infinity", "not a number", "mask"),
    ),
    Symptom(
        "My mask is one off",
        (
            "j < i where j <= i is meant: a query may see its own position.",
            "tril(-1) or triu(0) instead of tril() and triu(1).",
            "A window of w that counts w positions before the query and the query as well: it is "
            "i - w < j <= i, so that w = 1 is the query alone.",
        ),
        "Print the mask for s = 4 and read the row of query 2 aloud: which keys does it see? "
        "Then w = 1: each row must keep exactly one key.",
        ("causal", "window", "diagonal", "tril", "triu", "future"),
    ),
    Symptom(
        "Rows sum to 2, or to another number that is not 1",
        (
            "The softmax runs over one axis where it should run over two together: then every "
            "first key hands out a unit of its own.",
            "The softmax runs over the wrong axis (the queries, the heads).",
            "Something was masked after the softmax instead of before, so a share is lost.",
            "Blocks were normalised one by one and then added.",
        ),
        "Sum over all the keys of one query: probs[0, 0, 1].sum(). It must be 1 for every query. "
        "Then sum along each axis alone to see which one you normalised.",
        ("softmax", "normalise", "normalize", "probabilities", "sum to"),
    ),
    Symptom(
        "The shape is transposed, or two axes are swapped",
        (
            "The letters to the right of the arrow in einsum stand in another order than the "
            "exercise says.",
            "k.T or k.transpose(0, 1) where only the last two axes should change places: "
            "k.transpose(-2, -1).",
            "Heads were split by view(b, h, s, d) where view(b, s, h, d).transpose(1, 2) is meant: "
            "the shape is right and the numbers are shuffled.",
        ),
        "Choose sizes that all differ (b = 2, h = 3, s = 5, d = 4), and write the axes of every "
        "intermediate result beside its line.",
        ("einsum", "transpose", "permute", "order", "axes", "axis", "view"),
    ),
    Symptom(
        "Right for one head, wrong for many",
        (
            "The head axis was summed away or shared: its letter is missing from one of the "
            "inputs or from the result.",
            "Head 0 of the keys is used for every query head.",
            "Grouped heads were repeated with repeat (0 1 0 1) instead of repeat_interleave "
            "(0 0 1 1).",
            "view across heads and positions without the transpose.",
        ),
        "Compute head 1 alone, x[:, 1:2], and compare with head 1 of the full result.",
        ("heads", "grouped", "gqa", "mqa", "multi-head", "repeat", "interleave"),
    ),
    Symptom(
        "Right for one batch, wrong for many",
        (
            "A result was broadcast over the batch, or x[0] was used for all.",
            "flatten() without a start joins the batch with the rest.",
        ),
        "Compute the second batch entry alone and compare with entry 1 of the full result.",
        ("batch", "flatten", "reshape", "broadcast"),
    ),
    Symptom(
        "Right in float64, wrong in bfloat16",
        (
            "The softmax, a running sum or a running maximum is kept in bfloat16, which has 8 "
            "significant bits: beyond 256 it cannot count by ones.",
            "A tensor made inside (zeros, ones, an arange) has another dtype than the input.",
            "The result is returned in float32 where the dtype of q is asked for.",
        ),
        "Do the softmax and every accumulation in float32, and convert once, at the end: "
        ".to(q.dtype).",
        ("dtype", "precision", "half", "float16", "float32", "rounding", "bf16"),
    ),
    Symptom(
        "It works until the logits are large",
        (
            "exp overflows: in float32 beyond 88, in float16 beyond 11. The maximum of the row was "
            "not subtracted.",
            "The maximum of the whole tensor was subtracted: rows far below it underflow to 0.",
            "Masked logits are a large number such as -1e4 instead of -inf.",
        ),
        "Add 1000 to all logits of a row: the probabilities must not change. Subtract the maximum "
        "of each query's own logits first.",
        ("overflow", "stable", "exp", "inf", "maximum", "large"),
    ),
    Symptom(
        "Wrong or an error for inputs that are not contiguous (view size is not compatible)",
        (
            "view wants memory in order; after a transpose or a slice it is not.",
            "A kernel or as_strided assumes strides that a slice does not have.",
        ),
        "Use reshape or flatten instead of view, or call contiguous() before. To try: pass "
        "x.transpose(-2, -1).contiguous().transpose(-2, -1), the same numbers in another order of "
        "memory.",
        ("view", "stride", "strides", "contiguous", "reshape", "memory"),
    ),
    Symptom(
        "In-place error in autograd, or my inputs have changed",
        (
            "A method that ends in _ (masked_fill_, add_, mul_) writes into the tensor that the "
            "caller gave, or that autograd still needs.",
            "An assignment to a slice, x[..., 0] = 0, or x += y.",
        ),
        "Use the form without the underscore, which returns a new tensor, or clone() first.",
        ("inplace", "in-place", "mutated", "gradient", "modified", "leaf variable", "autograd"),
    ),
    Symptom(
        "Everything is off by a constant factor",
        (
            "The scale 1/sqrt(d) is missing, is there twice, or uses another axis for d.",
            "A mean where a sum is meant, or the other way round.",
            "The log-sum-exp has base 2 where the natural one is asked for: the factor is 0.693.",
        ),
        "Divide: print(got / expected). One number everywhere names the mistake: for logits with "
        "d = 16, 4 says that the scale is missing, 0.25 that it is there twice.",
        ("scale", "sqrt", "factor", "mean", "ratio", "log2"),
    ),
    Symptom(
        "The first block is right, later blocks are wrong (online softmax)",
        (
            "The old sum and the old output were not rescaled by exp(m_old - m_new).",
            "Only one of the two was rescaled.",
            "The maximum is that of the block, not the running one.",
            "The division by the sum happens in every block and once more at the end.",
        ),
        "Put the largest logit into the last block, then into the first: if only the second is "
        "right, the rescaling is missing.",
        ("online", "blocks", "running maximum", "lse", "rescale", "flash"),
    ),
    Symptom(
        "Right without a mask, wrong with it",
        (
            "The mask was filled after the softmax with 0: the rest no longer sums to 1.",
            "The mask is True where a key is hidden, and was used as if True meant visible.",
            "The mask hides one of the two keys and forgets the other.",
        ),
        "Change a token of the future, x[..., -1, :] = 1e3: no earlier output may move.",
        ("mask", "masked_fill", "causal", "future", "leak", "visible"),
    ),
    Symptom(
        "The gradient is None, zero, or missing",
        (
            "detach(), .data, .item() or torch.tensor(x) cuts the graph.",
            "A parameter stands in a plain list or is a plain tensor, so that the module does not "
            "know of it.",
            "It was computed under no_grad.",
        ),
        "List them: print([name for name, p in layer.named_parameters() if p.grad is None]).",
        ("grad", "backward", "parameter", "module", "detach", "none"),
    ),
    Symptom(
        "The logits change when all positions move together (rotary)",
        (
            "Query and keys are turned by different rules: another sign, other frequencies, or "
            "only one of them is turned.",
            "The axis of the turn depends on the position: turns about different axes do not "
            "commute.",
            "Planes or chunks are other coordinates than those that the score puts together: "
            "halves for neighbours, a plane across two chunks of a determinant.",
            "The score itself is not blind to common turns: the trilinear product is not.",
            "Angles in bfloat16 or float32, with positions in the thousands.",
        ),
        "Compare the logits of the positions 0 to s - 1 with those of 7 to s + 6. Then put every "
        "position at 0: turning must change nothing there.",
        ("rotary", "rope", "positions", "shift", "offset", "rotation", "invariant", "axis"),
    ),
    Symptom(
        "The sign of a determinant is wrong, or all six products add up",
        (
            "Two rows have changed places, or two columns: each exchange flips the sign.",
            "Every product enters with a plus: that is the permanent.",
            "Both keys are turned the same way inside the chunk, so that one coordinate meets "
            "itself.",
            "The coordinates were rolled along the whole vector and not inside each chunk.",
        ),
        "Take q, k1, k2 = (1, 0, 0), (0, 1, 0), (0, 0, 1): the determinant is 1. Exchange two of "
        "them: -1. Make two of them equal: 0.",
        ("determinant", "sarrus", "permanent", "sign", "chunks", "cyclic", "left over"),
    ),
    Symptom(
        "The Match3 head answers wrongly for some inputs",
        (
            "c is too small: all misses together outweigh the blank pair. Random inputs hide it, "
            "inputs whose pairs all miss by one show it.",
            "The threshold is 1/2, which a single match reaches only up to rounding.",
            "Logits in float32 or bfloat16: near c they are rounded to steps that are larger than "
            "the distance between a match and a near miss.",
            "The blank pair is missing, does not score c, or was added as a token, with 2 s pairs "
            "of its own.",
        ),
        "Print the largest score of a match, the largest of a miss and that of the blank pair. "
        "They should be c, c cos(2 pi / M) and c.",
        ("match3", "modulus", "blank", "threshold", "share"),
    ),
    Symptom(
        "The first positions are wrong, the rest is right (windows)",
        (
            "The zeros that fill up the first windows take part as keys: a key of zeros has the "
            "logit 0, and that has a weight.",
            "A slice begins at a negative number there, which counts from the end.",
            "roll, or an index that goes on at the other end: the first windows read the last "
            "positions.",
            "The first windows keep their length by reaching into the future.",
        ),
        "Take s = 3 and a window of 2, and write down which positions query 0 reads. It can only "
        "be position 0. Then hide all other places with -inf, before the softmax.",
        ("padding", "start", "beginning", "negative index", "roll", "unfold", "first queries"),
    ),
    Symptom(
        "The check finds a tensor that I never made (windows)",
        (
            "An einsum of three inputs makes two-input products on its way, and their shape "
            "depends on the order of the inputs.",
            "A mask of shape (s, s) or (s, s, s), or an index of that shape.",
            "A mask or a sum that was broadcast to the larger of two shapes.",
        ),
        "Write the shape of every line beside it, with s, w1 and w2 as letters. At most one letter "
        "of each may be s. Then do an einsum of three inputs as two of two.",
        ("memory", "cube", "largest", "too large", "long", "einsum", "map"),
    ),
    Symptom(
        "Decoding token by token gives other numbers than the full pass",
        (
            "The newest token is attended from before it is in the cache: it is in its own window.",
            "Places that no token has filled yet take part, as keys of zeros.",
            "Both caches are counted with the length of one, or the place does not roll over.",
            "Keys and values of one position lie at different places.",
            "Rotary positions: a key is turned by its place in the cache and not by its position.",
        ),
        "Decode as many tokens as the smaller window, then twice as many, and look for the first "
        "output that differs: before a cache is full the empty places are to blame, after it the "
        "place that is written to.",
        ("cache", "caches", "rolling", "ring", "decode", "streaming", "step", "generate"),
    ),
    Symptom(
        "The future leaks through a convolution (Multi-Token Attention)",
        (
            'The query axis is padded on both sides, as padding="same" does: rows of later queries '
            "are read.",
            "The logits above the diagonal were not put to 0 before the convolution reads them.",
            "Entries above the diagonal that the convolution fills were not masked again: -inf for "
            "logits, 0 for weights.",
        ),
        "Change the last token only, then the last two, and so on: no earlier output may move. "
        "Then set all taps to 0 but one, and look at which tap lets it through.",
        ("leak", "causal", "padding", "kernel", "conv2d", "taps", "test"),
    ),
    Symptom(
        "NaN after a convolution or a mixing of logits, or only in its gradient",
        (
            "-inf went into the sum: a tap of 0 times -inf is NaN, a negative one gives +inf.",
            "The mask came back afterwards and hid the NaN, while the gradient of a mixing still "
            "multiplies 0 by -inf.",
        ),
        "Let a sum read 0 where something is hidden, tril() does it, and put -inf there right "
        "before the softmax. To see: print([n for n, p in layer.named_parameters() if "
        "not p.grad.isfinite().all()]).",
        ("inf", "convolution", "mixing", "gradient", "multi-token", "tril"),
    ),
    Symptom(
        "A kernel seems upside down, shifted or mirrored",
        (
            "torch's conv2d does not flip the kernel: its last row belongs to the query itself, "
            "the row above to the query before.",
            "The identity tap is not in the last row and the middle column.",
            "The key axis has c_k - 1 zeros on one side in place of c_k // 2 on each.",
        ),
        "Set one tap to 1, all others to 0, and convolve a map of different numbers: the map moves "
        "by one place, and the direction names the tap.",
        ("identity", "flip", "cross-correlation", "row", "column", "tap", "padding"),
    ),
    Symptom(
        "A model trains and its error does not fall",
        (
            "The plateau before the cliff: on the block task nothing happens for a while, and how "
            "long that lasts depends on the seed and on how the kernel starts.",
            "The gradients were cleared between backward and the optimizer's step, or the step "
            "comes before backward.",
            "The loss is taken at all positions, and most of the text cannot be predicted.",
            "The logits are compared one position too early or too late.",
            "The kernel learns at the rate of the other weights: Adam moves a weight by about the "
            "learning rate a step, and a tap has to go from 0 to about 1.",
        ),
        "Train on one batch alone, again and again: the loss has to go to 0. If it does, look at "
        "rates and steps; if not, at the five lines of the step and their order.",
        ("loss", "plateau", "training", "zero_grad", "optimizer", "stuck", "learning rate"),
    ),
    Symptom(
        "The check says that something I draw is not uniform",
        (
            "Something is drawn first and then mended, and the mending prefers some results: "
            "needles moved aside, a letter exchanged, the target chosen among what fits.",
            "The end of a range is left out, or the last place of a text.",
            "Indices were sorted, or the first few were taken.",
            "Something stays within one text what should be free: one filler, one order, values "
            "that follow from keys.",
        ),
        "Draw 10,000 texts of the smallest size and count each result: torch.unique(x, dim=0, "
        "return_counts=True). Then draw anew what does not fit instead of changing it.",
        ("random", "generator", "distribution", "uniform", "needles", "blocks", "seed"),
    ),
    Symptom(
        "Two calls with the same seed give different data, or always the same",
        (
            "One of the draws does not get the generator: torch.randperm, torch.rand, randint, "
            "multinomial each want generator=generator.",
            "Python's or NumPy's own randomness is used somewhere.",
            "The seed is set inside, so that each call starts again.",
        ),
        "Call it twice with a new generator of seed 0 and compare, then twice with one generator.",
        ("seed", "generator", "random", "manual_seed", "repeatable"),
    ),
    Symptom(
        "0 active drivers, or Cannot call @triton.jit'd outside of the scope of a kernel",
        (
            "There is no GPU, and triton was imported before TRITON_INTERPRET was set: by hand, or "
            "by a part of torch that imports it.",
            "triton.testing.do_bench or @triton.autotune with more than one configuration: both "
            "measure on a GPU.",
            "A kernel was called like a function. It wants a grid: kernel[grid](...).",
        ),
        "Restart, and import simplex_lib before anything else: it chooses the interpreter where "
        "there is no GPU. simplex doctor says which mode is on.",
        ("triton", "interpreter", "import", "gpu", "driver", "runtimeerror", "interpret", "kernel"),
    ),
    Symptom(
        "arange's range must be a power of 2, or must be of type tl.constexpr",
        (
            "tl.arange got a size of the problem in place of a block size.",
            "tl.constexpr is missing behind the name in the kernel's arguments.",
            "A program id stands inside of tl.arange: it is known only when the kernel runs.",
        ),
        "Block sizes are powers of two, given from outside and marked tl.constexpr. Add what is "
        "known later to the block, and switch lanes off by a mask.",
        ("triton", "arange", "constexpr", "block", "valueerror", "compile", "kernel"),
    ),
    Symptom(
        "A kernel gives other numbers from run to run, or right here and wrong on a GPU",
        (
            "A mask without `other`: lanes that are off hold 0 in the interpreter and anything on "
            "a GPU.",
            "A load without a mask reads behind the end: whatever lies in memory there.",
            "Two programs store to the same element: the interpreter runs them one after the "
            "other, a GPU all at once.",
            "Some elements are never stored; torch.empty holds what lay there before.",
            "Atomics add in whatever order programs come.",
        ),
        "Fill every output with NaN before the launch and put NaN around the inputs. What no "
        "program stores stays NaN, and what is read from outside becomes NaN.",
        ("triton", "race", "random", "nondeterministic", "change", "masked", "other", "undefined"),
    ),
    Symptom(
        "Wrong numbers where the size is no multiple of the block (the tail)",
        (
            "`other` is missing, or is 0 in a maximum: -inf is what loses every maximum.",
            "-inf is summed, or is a factor: a sum wants 0, and -inf * 0 is NaN.",
            "A finite number as -inf, such as -1e4: rows that lie lower see it.",
            "The mask compares the lane and not the offset: start + arange belongs in it.",
            "Only one of the two factors of tl.dot is masked along the axis of the sum.",
        ),
        "Take sizes of one less, one more and just a multiple of the block. Then name for each "
        "reduction the number that changes nothing: -inf for max, 0 for sum and dot.",
        ("triton", "mask", "tail", "block", "multiple", "last", "other", "boundary"),
    ),
    Symptom(
        "Right for a whole matrix, wrong for a slice or a transpose of it (kernels)",
        (
            "The kernel counts offsets by shapes, row * columns + column, and not by strides.",
            "The strides of one tensor are used for another, or those of the input for the output.",
            "The two strides have changed places.",
            "Pointers were counted in bytes: in Triton, pointer + 1 is the next number.",
        ),
        "Print x.stride() of the tensor that fails. The offset of an element is the sum of each "
        "index times its own stride.",
        ("triton", "stride", "strides", "pointer", "offset", "contiguous", "transpose", "slice"),
    ),
    Symptom(
        "Only the first block or row of a kernel's output is filled",
        (
            "tl.program_id is missing from the offsets, or asks for an axis that the grid does "
            "not have.",
            "The program id is not multiplied by the block size.",
            "The grid is too small: it is rounded up, triton.cdiv(n, BLOCK).",
        ),
        "Ask of program 1: which offsets does it have? Write them down for a block of 4.",
        ("triton", "program_id", "grid", "program", "zeros", "unwritten", "cdiv", "launch"),
    ),
    Symptom(
        "A comparison of blocks seems to be ignored (if, and, or in a kernel)",
        (
            "`and` and `or` between blocks: the interpreter keeps one of the two. & and | work "
            "lane by lane, with parentheses round each comparison.",
            "`if` of a block: a program takes one way as a whole, and the interpreter always takes "
            "the first. A mask, or tl.where, decides lane by lane.",
        ),
        "Store the mask itself, tl.where(ok, 1.0, 0.0), and look at it.",
        ("triton", "mask", "if", "and", "or", "condition", "where", "boolean"),
    ),
    Symptom(
        "A product of kernels has only about three right digits",
        (
            "float32 factors of tl.dot become TF32 on a GPU, with 11 significant bits: "
            'input_precision="ieee" keeps them. The interpreter ignores it.',
            "The sum of tl.dot is kept in float16.",
            "Numbers were converted to the dtype of the output before they were summed.",
        ),
        "Compare with torch in float64, once for k = 16 and once for k = 4096: rounding of factors "
        "stays about as it is, rounding of a short sum grows.",
        ("triton", "tf32", "dot", "precision", "float16", "digits", "accumulator", "tolerance"),
    ),
    Symptom(
        "My gradients by hand differ from autograd's",
        (
            "The factor of the logits (scale) is missing in dq, dk1 and dk2: the way back through "
            "a product meets every factor of it once.",
            "delta, the mean of dP under P over all pairs of a query, was not subtracted, or was "
            "taken over one key alone.",
            "A sum runs over the letter of the result: what stands on the left is not summed over.",
            "q was multiplied by the scale at the beginning, so that dq is the gradient of scale "
            "times q.",
        ),
        "Sum dS over all pairs of one query: it must be 0. Then look which of the five are right: "
        "dv1 and dv2 depend on P alone, dq, dk1 and dk2 on dS too.",
        ("einsum", "backward", "formula", "scale", "delta", "wrong", "softmax"),
    ),
    Symptom(
        "gradcheck fails",
        (
            "The inputs are float32, where the nudge of 1e-6 drowns in rounding: use float64.",
            "backward returns its gradients in another order than the arguments of forward.",
            "An output that backward knows nothing of, such as lse, looks differentiable: use its "
            "gradient, or ctx.mark_non_differentiable.",
            "Something random, or something changed in place, lies between two calls.",
        ),
        "Read its two matrices, numerical and analytical: rows are inputs, columns outputs. One "
        "factor everywhere, zeros, or two blocks exchanged say which line it is. Check one input "
        "at a time: requires_grad for that one alone.",
        ("autograd", "function", "backward", "numerical", "jacobian", "float64", "finite"),
    ),
    Symptom(
        "An autograd function is right by itself and wrong in a model",
        (
            "The gradient that arrives is not contiguous: that of a sum is one number with strides "
            "0, and heads that are joined by a transpose send one back that is turned round.",
            "The inputs are not contiguous: heads were split by a transpose.",
            "Tensors are kept on the class or in a global, so that a second layer overwrites those "
            "of the first.",
            "None came back for an input that needs a gradient: a parameter never learns.",
        ),
        "Compare the gradients of out.sum() with those of (out * torch.ones_like(out)).sum(): they "
        "are the same numbers in another layout. Then call it twice before the first backward.",
        ("layer", "custom", "ctx", "save_for_backward", "strides", "contiguous", "expanded"),
    ),
    Symptom(
        "backward returned an incorrect number of gradients, or one of a wrong shape",
        (
            "backward owes one thing to each argument of forward (ctx not counted), None for "
            "numbers, windows and functions.",
            "They stand in another order than the arguments.",
            "backward returns a list; it wants a tuple.",
            "forward has two results, so backward gets two gradients after ctx.",
        ),
        "Write the arguments of forward in one line and what backward returns below it.",
        ("function", "none", "tuple", "expected", "invalid", "index", "position", "autograd"),
    ),
    Symptom(
        "Recomputed probabilities do not sum to 1",
        (
            "lse was stored in base 2, or half of it: m of a kernel that works with exp2 is in "
            "base 2, the logarithm of its sum may not be.",
            "The scale or the mask of the forward pass is missing when the logits are made again.",
            "They are those of a tile: only over all pairs of a query they sum to 1.",
            "lse belongs to another query: a stride or an offset is wrong.",
        ),
        "Sum over all pairs of one query, once with logits near 0 and once with 10 added to all. "
        "If only the second is wrong, two bases were mixed.",
        ("lse", "exp2", "log2", "backward", "base", "natural", "tile"),
    ),
    Symptom(
        "A backward kernel gives other gradients from run to run, or twice too large",
        (
            "Two programs store to the same rows: one of them overwrites the other.",
            "They add with atomics: the order changes, and with it the rounding.",
            "Two kernels both compute a gradient, and both add all of it.",
            "A second launch adds to an output that was not zero before, or overwrites the first.",
        ),
        "Ask of each gradient: which letter does it keep (i, j or k), and which program owns that "
        "tile? Fill the outputs with NaN before a launch: what nobody owns stays NaN.",
        ("race", "atomic", "kernel", "random", "nondeterministic", "doubled", "triton", "tile"),
    ),
)
