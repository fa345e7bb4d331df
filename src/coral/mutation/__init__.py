"""Programs changed on purpose: small mistakes (`operators`), and other words for the same (`rewrites`).

Both work on the syntax tree alone, run nothing, and write every program in one layout, so that neither layout
nor comments tell a mistaken program from a right one. Whether a mistake is one, tests have to say.
"""

from coral.mutation.operators import OPERATORS, Mutant, mutants
from coral.mutation.rewrites import REWRITES, rewrite
from coral.mutation.text import NotAProgram, normalized, parsed

__all__ = ["OPERATORS", "REWRITES", "Mutant", "NotAProgram", "mutants", "normalized", "parsed", "rewrite"]
