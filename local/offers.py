"""What to ask of a provider, where any of its models will do."""

from pixhook.catalogue import MODELS


def models_of(provider: str, *, references: int = 1) -> list[str]:
    """The models of `provider` that draw from a prompt alone, and from so many reference images too."""
    return [
        model
        for model in MODELS
        for offer in MODELS[model].offers
        if offer.provider == provider and 0 in offer.references and references in offer.references
    ]
