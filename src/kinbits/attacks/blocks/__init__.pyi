from .centres import anchor_codes, mainstay_codes, vote
from .networks import Discriminator, Generator
from .prototypes import PrototypeNet, circle, likelihood, train_prototypes
from .steps import SignSteps, away_from, towards
from .targets import draw_targets
from .trained import TrainedAttack

__all__ = [
    "Discriminator",
    "Generator",
    "PrototypeNet",
    "SignSteps",
    "TrainedAttack",
    "anchor_codes",
    "away_from",
    "circle",
    "draw_targets",
    "likelihood",
    "mainstay_codes",
    "towards",
    "train_prototypes",
    "vote",
]
