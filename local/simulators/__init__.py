"""Simulators of the providers, in one process: each speaks its provider's dialect, draws and calls back."""

from collections.abc import Mapping
from types import MappingProxyType

from local.simulators.apixo import Apixo
from local.simulators.defapi import Defapi
from local.simulators.gempix2 import Gempix2
from local.simulators.gempix2ai import Gempix2ai
from local.simulators.gptimage2api import Gptimage2api
from local.simulators.provider import Provider

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {p.name: p for p in (Apixo(), Defapi(), Gempix2(), Gempix2ai(), Gptimage2api())}
)


def providers_secret(simulators_url: str) -> dict[str, dict[str, str]]:
    """The gateway's secret that puts the simulators in the providers' place: key and base URL by name."""
    return {
        name: {
            "api_key": provider.api_key,
            "base_url": f"{simulators_url.rstrip('/')}/{name}{provider.base_path}",
        }
        for name, provider in PROVIDERS.items()
    }
