"""What to ask of a provider, where any of its models will do."""

from pixhook.catalogue import MODELS


def model_of(provider: str, references: int = 1) -> str | None:
    """The first model of `provider` that draws from a prompt alone, and from so many reference images too."""
    return next(
        (
            model
            for model, offers in MODELS.items()
            for offer in offers
            if offer.provider == provider and 0 in offer.references and references in offer.references
        ),
        None,
    )
