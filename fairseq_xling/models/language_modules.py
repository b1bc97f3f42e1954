"""Modules of which each language has its own, or all languages share one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from fairseq_xling.formats.errors import InputError
from fairseq_xling.sharing import SHARED


class LanguageModules(nn.Module):
    """One module for every language, or one for all, under names that show which.

    In the state dict the parts stand as ``<lang>.*`` or ``shared.*``.

    Parameters
    ----------
    languages : sequence of str
    separate : bool
    build : callable
        Makes the module of a language; called with ``None`` for the shared one.
    """

    def __init__(self, languages: Sequence[str], separate: bool, build: Callable[[str | None], nn.Module]):
        super().__init__()
        self.separate = separate
        # not nn.ModuleDict: it refuses names of its own attributes, and "to" is Tongan
        for name in languages if separate else [SHARED]:
            self._modules[name] = build(name if separate else None)
        self.languages = tuple(languages)

    def forward(self, language: str) -> nn.Module:
        """The module for `language`.

        Raises
        ------
        InputError
            The language is not one of the model's.
        """
        if language not in self.languages:
            raise InputError(f"the model knows no language '{language}'; it has {', '.join(self.languages)}")
        module = self._modules[language if self.separate else SHARED]
        assert module is not None
        return module


def start_equal(modules: LanguageModules) -> None:
    """Give every language's module the values of the first language's."""
    first, *others = {id(modules(language)): modules(language) for language in modules.languages}.values()
    for other in others:
        other.load_state_dict(first.state_dict())


def language_specific_parameters(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters that belong to one language alone, by language, wherever in the model they are."""
    found: dict[str, list[nn.Parameter]] = {}
    for module in model.modules():
        if isinstance(module, LanguageModules):
            for language in module.languages:
                own = list(module(language).parameters()) if module.separate else []
                found.setdefault(language, []).extend(own)
    return found
