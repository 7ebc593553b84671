"""Help texts that are readable at 80 columns, plain rows without types, and what a number may be."""

from typing import Any

import typer
from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose help shows arguments by their metavar alone: the text says what they take."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            typer.BadParameter: a value is not allowed. Of a number the message says what is, in the words of Legato.
        """
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if error.message.startswith("Input should be"):  # pydantic's words, which are for programmers
                kind = "a whole number" if "integer" in error.message else "a number"
                error.message = f"give {kind}{_bounds(error.param)}."
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words after the command's name in the line of usage."""
        arguments = self._of_kind("argument")
        return ["[OPTIONS]", *(param.metavar if param.required else f"[{param.metavar}]" for param in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options."""
        arguments = [(param.metavar, param.help) for param in self._of_kind("argument")]
        options = [param.get_help_record(ctx) for param in self._of_kind("option", ctx)]
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _of_kind(self, kind: str, ctx: Any = None) -> list[Any]:
        params = self.params if ctx is None else self.get_params(ctx)
        return [param for param in params if param.param_type_name == kind]


def _bounds(option: Any) -> str:
    """Return the range of the numbers that an option takes."""
    least, most = getattr(option, "min", None), getattr(option, "max", None)
    if least is None:
        return "" if most is None else f" of at most {most}"
    return f" of at least {least}" if most is None else f" from {least} to {most}"


class CommandWithRecipes(Command):
    """A command whose help ends with the INT8 recipes; they are looked up only when it is shown, as that is slow."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the name and the summary of every recipe."""
        super().format_epilog(ctx, formatter)
        try:
            from legato.convert.quantize import DEFAULT_RECIPE, recipe_summaries
        except ImportError:  # the packages for conversion are not installed
            return
        summaries = recipe_summaries()
        names = [f"{name} (default)" if name == DEFAULT_RECIPE else name for name in summaries]
        with formatter.section("INT8 recipes"):
            formatter.write_dl(list(zip(names, summaries.values(), strict=True)))
