# A chapter in small, with one cell of each kind: the builder's tests build it.

# %% [markdown]
r"""
# A sample chapter

Doubling is $2x$.
"""

# %% tags=["shared"]
import os


def check(exercise, answer):
    """Stands in for simplex_lib.course.check."""
    try:
        passed = answer(3) in (6, 9)
    except NotImplementedError:
        passed = False
    if os.environ.get("SIMPLEX_STRICT") and not passed:
        raise AssertionError(f"exercise {exercise} is not solved")
    print("passed" if passed else f"{exercise}: not written yet")


def predict(question):
    """Stands in for simplex_lib.course.predict."""
    print("a question:", question)


# %%
assert os.environ["SIMPLEX_BUILD"] == "1" and "TRITON_INTERPRET" not in os.environ
1 + 1

# %% tags=["predict"]
predict(
    "What is twice 3, and why?",
    {
        "5": "That is 3 + 2.",
        "9": "That is 3 times 3.",
        "6": ("right", "It is 3 + 3."),
    },
)

# %% [markdown] tags=["exercise"]
r"""
### Exercise 98.1: twice &nbsp; (1 minute)

Return twice x.
"""


# %% tags=["exercise"]
def twice(x):
    """Twice x."""
    ### BEGIN SOLUTION
    answer_in_the_sample = x + x
    return answer_in_the_sample
    ### END SOLUTION


# %% tags=["exercise"]
check("98.1", twice)

# %% [markdown] tags=["exercise"]
"""
### Exercise 98.2: thrice (1 minute)

Write a class.
"""


# %% tags=["exercise"]
class Thrice:
    def __call__(self, x):
        ### BEGIN SOLUTION
        return 3 * x
        ### END SOLUTION


# %% tags=["exercise"]
check("98.2", Thrice())

# %% [markdown]
"""
The end.
"""
