"""The colours of the explorer, chosen here so that tests can measure them.

Lightness falls (light page) or rises (dark page) evenly, in OKLab. Sequential: paper, green, teal,
ink. Diverging: violet, paper, green, apart under the common colour blindnesses. First key and
second key keep a hue of their own everywhere: blue and orange.
"""

PALETTE = dict(
    light=dict(
        sequential=[
            *("#f5f8f3", "#b7e1c3", "#6ac8b3", "#26a6ad"),
            *("#0981a1", "#175c8a", "#1a3a6d", "#121e45"),
        ],
        diverging=[
            *("#4b1864", "#7c4498", "#ab78c2", "#d5b5e1", "#f7f7f5"),
            *("#9ed0af", "#4ca56e", "#04743a", "#004219"),
        ],
    ),
    dark=dict(
        sequential=[
            *("#1b1e24", "#253953", "#29587b", "#267b99"),
            *("#32a1a9", "#5ec5ae", "#a1e5ac", "#f4f9c3"),
        ],
        diverging=[
            *("#edd2ff", "#c791e4", "#955fad", "#5e3a6b", "#222221"),
            *("#135936", "#258e54", "#64c181", "#aef1bb"),
        ],
    ),
)
FIRST, SECOND = "#1f5fae", "#b04a00"  # on a light page
