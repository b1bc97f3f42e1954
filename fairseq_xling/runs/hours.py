"""How long pretraining takes: tokens of a recipe, arithmetic of the model, speed of a machine."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from fairseq_xling.command import run_command
from fairseq_xling.formats.errors import InputError

EXPLANATION = """
Without --tokens-per-second the table has, for the paper's recipe, the speed that XLM's authors report for a V100 (not
measured by this project), and for other GPUs what that GPU's peak allows if it is used as well as that V100 (the same
share of its peak), and three times as well. A measured speed, such as "wps" in metrics.jsonl, says more.

examples:
  python -m fairseq_xling.runs.hours --scale paper
  python -m fairseq_xling.runs.hours --scale pocket --tokens-per-second 90000
"""


@dataclass(frozen=True)
class Recipe:
    """What is trained: updates, sequences of an update and their length, and the model's shape."""

    updates: int
    sequences: int
    length: int
    layers: int
    dim: int
    hidden: int
    vocabulary: int

    @property
    def tokens(self) -> int:
        """Tokens of the whole run."""
        return self.updates * self.sequences * self.length

    @property
    def flops(self) -> float:
        """Floating-point operations of training on one token: 6 for each weight that it meets, and attention.

        15 % of the tokens are predicted, and only those meet the output map. This is XLM's model, of which the table
        knows a speed; ours also leaves out most of the last layer (`step_flops` in fairseq_xling/tasks/throughput.py).
        """
        weights = self.layers * (4 * self.dim**2 + 2 * self.dim * self.hidden)
        attention = 2 * self.layers * self.length * self.dim
        return 6 * (weights + attention + 0.15 * self.dim * self.vocabulary)


RECIPES = {
    "lab": Recipe(3_500, 16, 15, 8, 64, 128, 1_600),
    "pocket": Recipe(12_000, 64, 128, 8, 256, 1_024, 16_000),
    "paper": Recipe(416_800, 8 * 96, 256, 8, 768, 3_072, 80_000),
}
"""The scales of `train_scripts/scales`; a block of the lab is a sentence, 15 tokens on average."""

REPORTED_V100 = 40_000
"""Tokens a second on a V100 with 32 GB that XLM's authors report for a model of this kind."""

PEAKS = {"V100": 125e12, "A100": 312e12, "H100": 989e12}
"""Operations a second in half precision, without sparsity, as the maker states them (H100: SXM; H200 is the same)."""


def hours(recipe: Recipe, tokens_per_second: float, gpus: int = 1) -> float:
    """Duration of a recipe."""
    return recipe.tokens / (tokens_per_second * gpus) / 3600


def table(recipe: Recipe, gpus: int) -> list[str]:
    """Lines: for each GPU the speed, where it comes from, and the duration."""
    share = REPORTED_V100 * recipe.flops / PEAKS["V100"]
    lines = [f"{'GPU':<6}{'tokens/s':>10}  {'hours on 1':>10}  {'hours on ' + str(gpus):>10}  from"]
    for name, peak in PEAKS.items():
        choices = [(share, "computed"), (3 * share, "computed")] if name != "V100" else [(share, "reported")]
        for used, source in choices:
            speed = used * peak / recipe.flops
            lines.append(
                f"{name:<6}{speed:>10,.0f}  {hours(recipe, speed):>10,.1f}  {hours(recipe, speed, gpus):>10,.1f}  "
                f"{source}, {used:.0%} of its peak"
            )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXPLANATION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=RECIPES, required=True)
    parser.add_argument("--tokens-per-second", type=float, help="speed of one GPU, measured")
    parser.add_argument("--gpus", type=int, default=8, help="(%(default)s)")
    args = parser.parse_args()
    recipe = RECIPES[args.scale]
    if args.gpus < 1 or not (args.tokens_per_second is None or 0 < args.tokens_per_second < float("inf")):
        raise InputError("--gpus and --tokens-per-second: expected numbers above 0")
    print(f"{args.scale}: {recipe.updates:,} updates of {recipe.sequences:,} x {recipe.length} tokens,", end=" ")
    tokens = f"{recipe.tokens / 1e9:,.2f} G" if recipe.tokens >= 1e8 else f"{recipe.tokens / 1e6:,.2f} M"
    print(f"{tokens} tokens, {recipe.flops / 1e6:,.1f} M operations a token")
    if args.tokens_per_second is not None:
        one, all_of_them = (hours(recipe, args.tokens_per_second, number) for number in (1, args.gpus))
        print(
            f"at {args.tokens_per_second:,.0f} tokens/s: {one:,.2f} hours on one GPU, {all_of_them:,.2f} on {args.gpus}"
        )
        return
    if args.scale != "paper":
        raise InputError("there is no reported speed for this scale; give --tokens-per-second")
    print("\n".join(table(recipe, args.gpus)))


if __name__ == "__main__":
    run_command(main)
