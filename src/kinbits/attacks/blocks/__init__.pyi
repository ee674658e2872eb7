from .centres import anchor_codes, centre_codes, mainstay_codes, vote
from .networks import Discriminator, Generator
from .prototypes import LR, PrototypeNet, circle, likelihood, train_prototypes
from .steps import SignSteps, away_from, sharply_away_from, towards
from .targets import draw_targets
from .trained import TrainedAttack

__all__ = [
    "LR",
    "Discriminator",
    "Generator",
    "PrototypeNet",
    "SignSteps",
    "TrainedAttack",
    "anchor_codes",
    "away_from",
    "centre_codes",
    "circle",
    "draw_targets",
    "likelihood",
    "mainstay_codes",
    "sharply_away_from",
    "towards",
    "train_prototypes",
    "vote",
]
