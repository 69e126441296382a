"""The providers there are. To add one, see ADDING_A_PROVIDER.md."""

from collections.abc import Mapping
from types import MappingProxyType

from pixhook.providers.apixo import Apixo
from pixhook.providers.base import Provider
from pixhook.providers.defapi import Defapi
from pixhook.providers.gempix2 import Gempix2
from pixhook.providers.gempix2ai import Gempix2ai
from pixhook.providers.gptimage2api import Gptimage2api

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {provider.name: provider for provider in (Apixo(), Defapi(), Gempix2(), Gempix2ai(), Gptimage2api())}
)
